//! The process that holds one end of a connection.

use std::sync::Arc;

/// The process behind a socket of this node, as items tell it. What is not known is 0 or empty.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number where it lives: in a container, that of the container.
    pub id: u32,
    /// The number of its parent there.
    pub parent_id: u32,
    /// Its number on the node.
    pub host_id: u32,
    /// The number of its parent on the node.
    pub host_parent_id: u32,
    /// Its name (`comm`).
    pub name: Arc<str>,
    /// The program that it runs.
    pub path: Arc<str>,
    /// The inode of its control group.
    pub cgroup_id: u64,
    /// The container that its control group is called after, 64 hexadecimal digits.
    pub container_id: Arc<str>,
    /// The inode of the socket.
    pub socket_id: u64,
}
