//! All integration tests, in one binary.

mod captures;
#[cfg(feature = "live")]
mod loopback;
mod recording;
mod s3;
mod scripts;
mod seaweed;
mod tidy;
mod truth_http;
