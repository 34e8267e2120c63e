//! A Kubernetes API server and etcd of one's own: names of pods and services, rights, targets, and the
//! real program beside them. `tools/kube.sh` builds the server.

mod double;
mod happenings;
mod isolate;
mod kept_query;
mod kept_targets;
mod laptop;
mod meanwhile;
mod names;
mod page;
mod real;
pub mod release;
mod taken_port;
mod tap;
mod told;
