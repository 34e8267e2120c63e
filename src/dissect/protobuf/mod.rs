//! Protocol buffers: messages by their descriptors.
//!
//! In: descriptors that the user gives, and those that servers tell about themselves in the traffic
//! (gRPC server reflection); then messages. Out: values with names. Never: files; code of anybody's.
//! What a server told counts for messages that came later, on any of its connections.
//!
//! Descriptors are read by our own few hundred lines: a crate for dynamic messages brings a
//! compiler's worth of code, and here bytes from the network decide what is read.

mod render;
mod schema;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use ahash::AHashMap;
use bytes::Bytes;

use self::render::{Renderer, Types};
use self::schema::Schema;
use self::wire::{Field, Fields};
use crate::item::Value;
use crate::packet::Endpoint;

/// Bytes of descriptors that servers told, all together; those of a large service take 200 KiB.
const MAX_LEARNED_BYTES: usize = 32 << 20;

/// Files that one server told.
const MAX_FILES: usize = 4096;

/// The given bytes are no `FileDescriptorSet`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no FileDescriptorSet; make one with protoc --include_imports --descriptor_set_out=FILE"
)]
pub struct NotDescriptors;

/// All descriptors that are known.
#[derive(Debug, Default)]
pub struct Descriptors {
    given: Schema,
    learned: RwLock<Learned>,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Learned {
    /// Files by server, in the order of their ordinals.
    by_server: AHashMap<Endpoint, Vec<File>>,
    bytes: usize,
}

/// A file that a server told.
#[derive(Debug)]
struct File {
    /// The packet that brought it.
    ordinal: u64,
    bytes: Box<[u8]>,
    schema: Schema,
}

/// Messages of one direction of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    /// Who is asked; `None` when that is not known.
    pub(super) server: Option<Endpoint>,
    /// Service and method, as `/shop.Cart/Add`.
    pub(super) path: &'a str,
    pub(super) is_request: bool,
    /// The packet that completed the call; what was told later does not count.
    pub(super) ordinal: u64,
}

impl Descriptors {
    /// Those of some `FileDescriptorSet`s.
    ///
    /// # Errors
    /// When one is none; with its place in the list.
    pub fn given<'s>(
        sets: impl IntoIterator<Item = &'s [u8]>,
    ) -> Result<Descriptors, (usize, NotDescriptors)> {
        let mut given = Schema::default();
        for (place, set) in sets.into_iter().enumerate() {
            if !given.add_set(set) {
                return Err((place, NotDescriptors));
            }
        }
        Ok(Descriptors {
            given,
            ..Descriptors::default()
        })
    }

    /// Files that were not taken, because there were too many.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Takes what a `ServerReflectionResponse` tells, that came with the packet `ordinal`.
    pub(super) fn reflected(&self, server: Endpoint, ordinal: u64, response: &[u8]) {
        for (number, field) in Fields::of(response) {
            // file_descriptor_response, with a list of files.
            let (4, Field::Bytes(files)) = (number, field) else {
                continue;
            };
            for (number, field) in Fields::of(files) {
                if let (1, Field::Bytes(file)) = (number, field) {
                    self.learn(server, ordinal, file);
                }
            }
        }
    }

    fn learn(&self, server: Endpoint, ordinal: u64, file: &[u8]) {
        let mut schema = Schema::default();
        if !schema.add_file(file) {
            return;
        }
        let mut learned = self.learned.write().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_LEARNED_BYTES.saturating_sub(learned.bytes);
        let files = learned.by_server.entry(server).or_default();
        let at = files.partition_point(|known| known.ordinal <= ordinal);
        // Told again as it was.
        let name = Schema::name_of(file);
        let of_name = |known: &&File| Schema::name_of(&known.bytes) == name;
        let before = files.get(..at).unwrap_or_default().iter().rev();
        if before
            .take(MAX_FILES)
            .find(of_name)
            .is_some_and(|known| *known.bytes == *file)
        {
            return;
        }
        if file.len() > room || files.len() >= MAX_FILES {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        files.insert(
            at,
            File {
                ordinal,
                bytes: file.into(),
                schema,
            },
        );
        learned.bytes += file.len();
    }

    /// Reads messages of a call, each as its bytes.
    pub(super) fn read<R>(
        &self,
        call: Call<'_>,
        read: impl FnOnce(&mut Reading<'_, '_>) -> R,
    ) -> R {
        let learned = self.learned.read().unwrap_or_else(PoisonError::into_inner);
        let files = call
            .server
            .and_then(|server| learned.by_server.get(&server));
        let told = files.map_or(&[][..], |files| files).iter().rev();
        let told = told.filter(|file| file.ordinal < call.ordinal);
        let mut list = vec![&self.given];
        list.extend(told.map(|file| &file.schema));
        let types = Types(list);
        let name = types
            .method(call.path)
            .map(|(input, output)| match call.is_request {
                true => input,
                false => output,
            });
        read(&mut Reading {
            renderer: Renderer::new(&types),
            name,
        })
    }
}

/// Reads the messages of one body.
pub(super) struct Reading<'t, 's> {
    renderer: Renderer<'t, 's>,
    name: Option<&'s str>,
}

/// A message that was read.
#[derive(Debug, Clone)]
pub(super) enum Read {
    /// By the names of its descriptor.
    Named(Value),
    /// By field numbers.
    Numbered(Value),
}

impl Reading<'_, '_> {
    /// A message; `None` when the bytes are none, or nothing can be said of them. The flag says whether something was left out.
    pub(super) fn message(&mut self, bytes: &Bytes) -> Option<(Read, bool)> {
        let named = self.name.and_then(|name| self.renderer.typed(name, bytes));
        let read = match named {
            Some(value) => Read::Named(value),
            None if bytes.is_empty() => return None,
            None => Read::Numbered(self.renderer.untyped(bytes)?),
        };
        Some((read, self.renderer.cut))
    }
}
