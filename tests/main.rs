//! All integration tests, in one binary.

mod bucket;
mod captures;
mod ceph;
mod commands;
mod dashboard;
mod loopback;
mod pipeline;
mod recording;
#[cfg(all(feature = "live", target_os = "linux"))]
mod rights;
mod s3;
mod scripts;
mod seaweed;
mod tidy;
mod truth_http;
