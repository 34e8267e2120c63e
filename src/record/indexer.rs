//! The index of a reel as sealing asks for it.
//!
//! In: the sealed packets of one reel after the other. Out: an index file beside them. Never: making
//! it here: whoever knows the dissectors does, and a reel without an index is still a reel.

use std::io;
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
