//! All integration tests, in one binary.

mod archive_tools;
#[cfg(feature = "live")]
mod bpf;
mod bucket;
mod captures;
mod ceph;
mod cloud_stores;
mod clouds;
#[cfg(all(feature = "live", target_os = "linux"))]
mod cluster;
mod commands;
mod cost;
mod dashboard;
mod dashboard_access;
mod dashboard_drop_in;
mod dashboard_feed;
#[cfg(all(feature = "live", target_os = "linux"))]
mod dashboard_live;
mod dashboard_login;
#[cfg(all(feature = "live", target_os = "linux"))]
mod dashboard_places;
mod dashboard_schema;
mod dashboard_steered;
mod delivery;
mod double;
mod drop_in;
mod engines;
mod faults;
mod hostile;
mod index_size;
mod kill;
mod lake;
#[cfg(all(feature = "live", target_os = "linux"))]
mod live_protocols;
mod loopback;
mod matrix;
mod mcp;
#[cfg(all(feature = "live", target_os = "linux"))]
mod memory;
#[cfg(all(feature = "live", target_os = "linux"))]
mod node;
#[cfg(all(feature = "live", target_os = "linux"))]
mod nodes;
mod opening;
mod outside;
mod packaging;
mod pipeline;
#[cfg(all(feature = "live", target_os = "linux"))]
mod real_node;
mod recording;
mod redaction;
#[cfg(all(feature = "live", target_os = "linux"))]
mod relay;
#[cfg(all(feature = "live", target_os = "linux"))]
mod rights;
#[cfg(all(feature = "live", target_os = "linux"))]
mod road;
mod roles;
mod s3;
mod script_tools;
mod scripts;
mod seaweed;
#[cfg(all(feature = "live", target_os = "linux"))]
mod seccomp;
mod signin;
#[cfg(all(feature = "live", target_os = "linux"))]
mod site;
mod slow;
mod sql;
mod tamper;
#[cfg(all(feature = "live", target_os = "linux"))]
mod terminal;
mod tidy;
