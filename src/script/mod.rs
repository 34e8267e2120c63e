//! The scripting host: the user's JavaScript, each script in a child process.
//!
//! In: items and packet summaries to tell, questions to ask. Out: calls of [`Host`](host::Host), which alone has
//! effects. Never: files, sockets and clocks of its own inside a child.

pub mod api;
mod behind;
pub mod check;
pub mod child;
pub mod console;
mod cron;
pub mod environment;
pub mod folder;
pub mod host;
pub mod jobs;
mod manager;
mod process;
pub mod restart;
pub mod runner;
mod selection;
pub mod supervisor;
pub mod times;
pub mod wire;
