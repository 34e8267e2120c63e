//! Text of addresses and numbers without an allocation.

/// Text of a scalar, put together on the stack.
pub struct ShortText {
    bytes: [u8; ShortText::MAX],
    len: usize,
}

impl ShortText {
    /// Bytes that the longest address takes, that of a mapped IPv4 address with all digits.
    const MAX: usize = 45;

    /// The text of `value`, cut at [`ShortText::MAX`] bytes.
    pub fn of(value: impl std::fmt::Display) -> ShortText {
        let mut text = ShortText {
            bytes: [0; ShortText::MAX],
            len: 0,
        };
        // It fails only for text that does not fit, and then what fits is there.
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{value}"));
        text
    }

    /// The text of an address; IPv4 without the formatter, since filters ask for it most.
    pub fn of_ip(ip: std::net::IpAddr) -> ShortText {
        let std::net::IpAddr::V4(ip) = ip else {
            return ShortText::of(ip);
        };
        let mut text = ShortText {
            bytes: [0; ShortText::MAX],
            len: 0,
        };
        for (at, octet) in ip.octets().into_iter().enumerate() {
            if at > 0 {
                text.push(b'.');
            }
            if octet >= 100 {
                text.push(b'0' + octet / 100);
            }
            if octet >= 10 {
                text.push(b'0' + octet / 10 % 10);
            }
            text.push(b'0' + octet % 10);
        }
        text
    }

    fn push(&mut self, byte: u8) {
        if let Some(free) = self.bytes.get_mut(self.len) {
            *free = byte;
            self.len += 1;
        }
    }

    /// What `read` makes of the text.
    pub fn read<R>(&self, read: impl FnOnce(&str) -> R) -> R {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        read(std::str::from_utf8(bytes).unwrap_or_default())
    }
}

impl std::fmt::Write for ShortText {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        let end = self.len + part.len();
        let free = self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?;
        free.copy_from_slice(part.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn addresses_are_shown_as_std_shows_them(ip in any::<std::net::IpAddr>()) {
            ShortText::of_ip(ip).read(|text| assert_eq!(text, ip.to_string()));
        }
    }
}
