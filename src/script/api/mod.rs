//! Globals that scripts see: one file each, one line in the list.
