//! Against a real API server and etcd, where they are built: `tools/kube.sh`.

mod names;
mod real;
