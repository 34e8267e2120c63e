//! All integration tests, in one binary.

mod captures;
mod s3;
mod seaweed;
mod tidy;
mod truth_http;
