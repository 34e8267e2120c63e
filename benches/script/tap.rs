//! The same job as a Lua tap of tshark, over a capture with as many exchanges; left out without tshark.

use std::process::Command;
use std::time::Duration;

use tapedeck::synth::{merge, savefile, tcp};
use tapedeck::time::Timestamp;

/// Conversations, each a stream of the recorder's list.
const CONVERSATIONS: u16 = 1000;

/// Exchanges of each.
const EXCHANGES: u32 = 20;

/// Measures tshark without a tap and with it: the difference is what the tap costs.
pub fn measure() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("made.pcap");
    std::fs::write(&path, capture()).expect("room for the capture");
    let tap = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/script/tap.lua");
    let items = f64::from(CONVERSATIONS) * f64::from(EXCHANGES);
    let capture = path.display().to_string();
    // Without a tap nothing would be dissected down to HTTP.
    let plain = ["-q", "-z", "io,stat,0,http.response", "-r", &capture];
    let lua = format!("lua_script:{tap}");
    let tapped = ["-q", "-X", &lua, "-r", &capture];
    let (Some(plain), Some(tapped)) = (timed(&plain), timed(&tapped)) else {
        println!("tshark is not installed, so there is no Lua tap to compare with");
        return;
    };
    println!(
        "{:<20} {:>12.0}   (its tap alone {:.0}; {} exchanges)",
        "tshark, Lua tap",
        items / tapped,
        items / (tapped - plain).max(1e-3),
        items
    );
}

/// Processor time of tshark with some arguments, in seconds; `None` without tshark.
fn timed(arguments: &[&str]) -> Option<f64> {
    let ran = Command::new("bash")
        .args(["-c", "TIMEFORMAT='cpu %U %S'; time tshark \"$@\"", "tshark"])
        .args(arguments)
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let line = said.lines().find_map(|line| line.strip_prefix("cpu "));
    let times = line?.split(' ').filter_map(|time| time.parse::<f64>().ok());
    ran.status.success().then(|| times.sum())
}

fn capture() -> Vec<u8> {
    let start = Timestamp::from_secs(1_706_933_106, 0);
    let conversations = (0..CONVERSATIONS).map(|number| {
        let begins = start + Duration::from_millis(number.into());
        let mut talk = tcp(([10, 0, 0, 1], 10_000 + number), ([10, 0, 0, 2], 80)).at(begins);
        for _ in 0..EXCHANGES {
            talk = talk
                .to_server("GET /orders?dry=1 HTTP/1.1\r\nHost: cart.shop\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n")
                .to_client("HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\noops");
        }
        talk.fin()
    });
    savefile(&merge(conversations))
}
