//! All integration tests, in one binary.

mod captures;
mod recording;
mod s3;
mod seaweed;
mod tidy;
mod truth_http;
