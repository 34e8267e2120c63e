//! A way from a network namespace to a server on this machine's loopback.

use std::fs::File;
use std::io::{ErrorKind, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Listens on a free port of `host` and leads each connection to `server`; ends with the process.
pub fn start(host: &str, server: SocketAddr) -> SocketAddr {
    lead(TcpListener::bind((host, 0)).unwrap(), server)
}

/// The same in a network namespace that `ip netns` made.
pub fn start_in(namespace: &str, host: &str, server: SocketAddr) -> SocketAddr {
    let file = File::open(format!("/run/netns/{namespace}")).unwrap();
    let host = host.to_owned();
    // A socket stays in the namespace that it was made in, whoever uses it.
    let listener = thread::spawn(move || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        TcpListener::bind((host, 0)).unwrap()
    });
    lead(listener.join().unwrap(), server)
}

fn lead(listener: TcpListener, server: SocketAddr) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            match client {
                Ok(client) => connect(client, server),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
    address
}

fn connect(client: TcpStream, server: SocketAddr) {
    // Without a server the client's connection ends at once.
    let Ok(server) = TcpStream::connect(server) else {
        return;
    };
    let ends = [
        (client.try_clone(), server.try_clone()),
        (Ok(server), Ok(client)),
    ];
    for (from, to) in ends {
        let (Ok(mut from), Ok(mut to)) = (from, to) else {
            return;
        };
        thread::spawn(move || {
            // Either end may be gone; the other one hears of it.
            let _ = copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}
