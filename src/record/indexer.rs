//! The index of a reel as sealing asks for it.
//!
//! In: the sealed packets of one reel after the other. Out: an index file beside them. Never: making
//! it here: whoever knows the dissectors does, and a reel without an index is still a reel.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use super::journal::Head;
use super::manifest::Frame;
use crate::index::Summary;
use crate::packet::StreamName;
use crate::resolve::Names;

/// Makes indexes of sealed reels.
pub trait Indexer: Send + Sync {
    /// Writes the index of `reel`. Reels of one recording and run come in their order, so that an
    /// exchange that began in the reel before is known.
    ///
    /// # Errors
    /// When it cannot be made; the reel is then kept without one.
    fn index(&self, reel: &SealedReel<'_>) -> io::Result<Summary>;

    /// A reel of this recording and run is left out: what comes next begins anew.
    fn forget(&self, head: &Head);
}

/// A reel whose packets are sealed.
pub struct SealedReel<'s> {
    /// What it is.
    pub head: &'s Head,
    /// The packets part.
    pub packets: &'s Path,
    /// The stream of each packet, in the order of the part.
    pub streams: Vec<Option<StreamName>>,
    /// The part's frames.
    pub frames: &'s [Frame],
    /// The names of its addresses.
    pub names: Arc<Names>,
    /// Whether the recording goes on in no further reel of the run.
    pub is_last: bool,
    /// Where the index goes.
    pub out: &'s Path,
}

/// An indexer whose panics cost one index: dissectors read what strangers sent, and the thread that
/// seals must outlive them.
pub(crate) struct Guarded<'g> {
    pub(crate) indexer: &'g dyn Indexer,
    /// Is told of each panic.
    pub(crate) say: &'g (dyn Fn(String) + Send + Sync),
}

impl Indexer for Guarded<'_> {
    fn index(&self, reel: &SealedReel<'_>) -> io::Result<Summary> {
        guarded(|| self.indexer.index(reel)).unwrap_or_else(|panic| {
            let recording = &reel.head.recording;
            (self.say)(format!(
                "the index of a reel of the recording {recording} could not be made ({panic}); the \
                 reel is kept without one; please report this"
            ));
            Err(io::Error::other(panic))
        })
    }

    fn forget(&self, head: &Head) {
        if let Err(panic) = guarded(|| self.indexer.forget(head)) {
            (self.say)(format!("indexes are made anew from here ({panic})"));
        }
    }
}

/// Runs what may panic; then the words of the panic.
pub(crate) fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| format!("it panicked: {}", words(&*panic)))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a word")
}
