//! Shows people where the dashboard is.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use super::style::Style;

/// Prints the URL, and opens it where there is a screen and `headless` is off.
///
/// Says so when `wanted` was taken by another program and the port is another one.
pub fn show(url: &str, address: SocketAddr, wanted: u16, headless: bool) {
    let style = Style::stderr();
    if wanted != 0 && wanted != address.port() {
        eprintln!("port {wanted} is taken; using {}", address.port());
    }
    eprintln!("Dashboard: {}", style.bold(url));
    let screen = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    let remote = std::env::var_os("SSH_CONNECTION").is_some();
    if headless {
        return;
    }
    if remote || !(screen || cfg!(target_os = "macos")) {
        eprintln!(
            "{}",
            style.dim(&format!(
                "From another machine: ssh -L {port}:{address} <this host>, then open the URL there",
                port = address.port()
            ))
        );
        return;
    }
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let _ = Command::new(opener)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
}
