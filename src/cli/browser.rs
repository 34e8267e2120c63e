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
    let always = cfg!(any(target_os = "macos", windows));
    if remote || !(screen || always) {
        eprintln!(
            "{}",
            style.dim(&format!(
                "From another machine: ssh -L {port}:{address} <this host>, then open the URL there",
                port = address.port()
            ))
        );
        return;
    }
    // What follows the program stands before the URL; no shell reads it.
    let (opener, arguments): (&str, &[&str]) = if cfg!(target_os = "macos") {
        ("open", &[])
    } else if cfg!(windows) {
        ("rundll32", &["url.dll,FileProtocolHandler"])
    } else {
        ("xdg-open", &[])
    };
    let _ = Command::new(opener)
        .args(arguments)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
}
