//! Colours on the terminal, and only there.

use std::io::IsTerminal;

/// Colours for one stream; empty text where colours are off.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    on: bool,
}

impl Style {
    /// Colours for stderr: off when it is no terminal or `NO_COLOR` is set to anything.
    pub fn stderr() -> Style {
        Style {
            on: std::io::stderr().is_terminal() && takes_colours() && !no_color(),
        }
    }

    /// Colours for stdout, by the same rules.
    pub fn stdout() -> Style {
        Style {
            on: std::io::stdout().is_terminal() && takes_colours() && !no_color(),
        }
    }

    /// No colours.
    pub fn plain() -> Style {
        Style { on: false }
    }

    /// Whether colours are on.
    pub fn is_on(self) -> bool {
        self.on
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// For errors.
    pub fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// For warnings.
    pub fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// For what went well.
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// For what matters less.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// For headings.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }
}

/// Whether the terminal understands escape sequences.
#[cfg(unix)]
fn takes_colours() -> bool {
    true
}

/// Whether the console understands escape sequences, once it is told to.
#[cfg(windows)]
fn takes_colours() -> bool {
    static TAKES: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| {
        anstyle_query::windows::enable_ansi_colors().unwrap_or_default()
    });
    *TAKES
}

fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
