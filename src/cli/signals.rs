//! How people and systems ask this program to end.
//!
//! In: on Unix Ctrl+C, SIGTERM and SIGHUP; on Windows Ctrl+C, Ctrl+Break, and that the console is closed
//! or the system goes down. Out: a run that ends. Never: what a run does then.

use std::io;
use std::time::{Duration, Instant};

use super::exit::{Exit, Failure};
use super::style::Style;
use crate::pipeline::Stop;

/// Signals that come together count as one.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// Time that a run has to end after the second signal.
const LAST_MOMENT: Duration = Duration::from_secs(3);

/// Ends the run at the first Ctrl+C or SIGTERM. At the second it leaves what the next start can do; a
/// run that is not over soon after it, or at a third, ends where it is, with gaps.
pub fn stop_on_signal(stop: &Stop) -> Result<(), Failure> {
    let stop = stop.clone();
    let mut last: Option<Instant> = None;
    let heard = move || {
        // Whoever starts programs may pass on the signal that the terminal sends as well.
        if last.is_some_and(|last| last.elapsed() < SAME_SIGNAL) {
            return;
        }
        last = Some(Instant::now());
        if stop.is_hurried() {
            end_here();
        } else if stop.is_asked() {
            stop.hurry();
            std::thread::spawn(|| {
                std::thread::sleep(LAST_MOMENT);
                end_here();
            });
        } else {
            stop.stop();
        }
    };
    each(heard).map_err(|error| Failure::failed(format!("cannot follow signals: {error}")))
}

/// Ends the process where it is.
fn end_here() {
    eprintln!("{}", Style::stderr().yellow("ended before it was done"));
    std::process::exit(Exit::Gaps.code().into());
}

/// Calls `heard` on a thread of its own at each signal, from now on.
#[cfg(unix)]
fn each(mut heard: impl FnMut() + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread(move || {
        for _ in signals.forever() {
            heard();
        }
    })
}

/// Calls `heard` on a thread of its own at each signal, from now on.
#[cfg(windows)]
fn each(mut heard: impl FnMut() + Send + 'static) -> io::Result<()> {
    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let entered = runtime.enter();
    let (mut c, mut broken) = (ctrl_c()?, ctrl_break()?);
    let (mut closed, mut down) = (ctrl_close()?, ctrl_shutdown()?);
    drop(entered);
    thread(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = c.recv() => {}
                    _ = broken.recv() => {}
                    _ = closed.recv() => {}
                    _ = down.recv() => {}
                }
                heard();
            }
        });
    })
}

fn thread(run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("signals".into());
    thread.spawn(run).map(drop)
}

/// Waits for the first Ctrl+C, or SIGTERM.
///
/// # Errors
/// When signals cannot be followed.
pub async fn asked_to_end() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminated.recv() => Ok(()),
        }
    }
    #[cfg(windows)]
    tokio::signal::ctrl_c().await
}
