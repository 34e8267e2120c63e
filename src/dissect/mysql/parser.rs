//! MySQL's packets: framing, and the parts of each payload.
//!
//! In: the bytes of one side, or one payload. Out: lengths, slices of the payload. Never: state,
//! allocation by a count that was read. Standard: MySQL source documentation, "Client/Server
//! Protocol"; MariaDB knowledge base, "Client/Server Protocol".
//!
//! ```text
//! packet = payload length u24, sequence number u8, payload                 little-endian
//! ```

use crate::bytes::{Reader, Short};
use crate::dissect::intake::Front;

/// Bytes in front of a payload.
pub(super) const HEADER: usize = 4;

/// Length of a payload that goes on in the next packet.
pub(super) const MAX_PAYLOAD: usize = 0x00ff_ffff;

/// Capability flags that change how packets are read.
pub(super) mod capability {
    pub const CONNECT_WITH_DB: u32 = 1 << 3;
    pub const COMPRESS: u32 = 1 << 5;
    pub const PROTOCOL_41: u32 = 1 << 9;
    pub const SSL: u32 = 1 << 11;
    pub const SECURE_CONNECTION: u32 = 1 << 15;
    pub const PLUGIN_AUTH: u32 = 1 << 19;
    pub const CONNECT_ATTRS: u32 = 1 << 20;
    pub const PLUGIN_AUTH_LENENC_CLIENT_DATA: u32 = 1 << 21;
    pub const SESSION_TRACK: u32 = 1 << 23;
    pub const OPTIONAL_RESULTSET_METADATA: u32 = 1 << 25;
    pub const ZSTD_COMPRESSION_ALGORITHM: u32 = 1 << 26;
    pub const QUERY_ATTRIBUTES: u32 = 1 << 27;
}

/// Names of the capability flags, by bit.
pub(super) const CAPABILITIES: [&str; 32] = [
    "CLIENT_LONG_PASSWORD",
    "CLIENT_FOUND_ROWS",
    "CLIENT_LONG_FLAG",
    "CLIENT_CONNECT_WITH_DB",
    "CLIENT_NO_SCHEMA",
    "CLIENT_COMPRESS",
    "CLIENT_ODBC",
    "CLIENT_LOCAL_FILES",
    "CLIENT_IGNORE_SPACE",
    "CLIENT_PROTOCOL_41",
    "CLIENT_INTERACTIVE",
    "CLIENT_SSL",
    "CLIENT_IGNORE_SIGPIPE",
    "CLIENT_TRANSACTIONS",
    "CLIENT_RESERVED",
    "CLIENT_SECURE_CONNECTION",
    "CLIENT_MULTI_STATEMENTS",
    "CLIENT_MULTI_RESULTS",
    "CLIENT_PS_MULTI_RESULTS",
    "CLIENT_PLUGIN_AUTH",
    "CLIENT_CONNECT_ATTRS",
    "CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA",
    "CLIENT_CAN_HANDLE_EXPIRED_PASSWORDS",
    "CLIENT_SESSION_TRACK",
    "CLIENT_DEPRECATE_EOF",
    "CLIENT_OPTIONAL_RESULTSET_METADATA",
    "CLIENT_ZSTD_COMPRESSION_ALGORITHM",
    "CLIENT_QUERY_ATTRIBUTES",
    "MULTI_FACTOR_AUTHENTICATION",
    "CLIENT_CAPABILITY_EXTENSION",
    "CLIENT_SSL_VERIFY_SERVER_CERT",
    "CLIENT_REMEMBER_OPTIONS",
];

/// Names of the status flags, by bit.
pub(super) const STATUS: [&str; 16] = [
    "SERVER_STATUS_IN_TRANS",
    "SERVER_STATUS_AUTOCOMMIT",
    "",
    "SERVER_MORE_RESULTS_EXISTS",
    "SERVER_QUERY_NO_GOOD_INDEX_USED",
    "SERVER_QUERY_NO_INDEX_USED",
    "SERVER_STATUS_CURSOR_EXISTS",
    "SERVER_STATUS_LAST_ROW_SENT",
    "SERVER_STATUS_DB_DROPPED",
    "SERVER_STATUS_NO_BACKSLASH_ESCAPES",
    "SERVER_STATUS_METADATA_CHANGED",
    "SERVER_QUERY_WAS_SLOW",
    "SERVER_PS_OUT_PARAMS",
    "SERVER_STATUS_IN_TRANS_READONLY",
    "SERVER_SESSION_STATE_CHANGED",
    "",
];

/// Status flag: another result follows.
pub(super) const MORE_RESULTS_EXISTS: u16 = 1 << 3;
/// Status flag: rows are fetched with COM_STMT_FETCH.
pub(super) const CURSOR_EXISTS: u16 = 1 << 6;
/// Status flag: an OK packet tells what changed in the session.
const SESSION_STATE_CHANGED: u16 = 1 << 14;

/// Length of the packet that `bytes` begins with.
pub(super) fn packet(bytes: &[u8]) -> Front {
    match bytes {
        [a, b, c, _, ..] => {
            let payload = u32::from_le_bytes([*a, *b, *c, 0]);
            Front::Length(u64::from(payload) + HEADER as u64)
        }
        _ => Front::NeedMore(HEADER),
    }
}

/// The sequence number of a packet.
pub(super) fn sequence(packet: &[u8]) -> u8 {
    packet.get(3).copied().unwrap_or_default()
}

/// The payload of a packet.
pub(super) fn payload(packet: &[u8]) -> &[u8] {
    packet.get(HEADER..).unwrap_or_default()
}

/// Text up to its zero byte.
pub(super) fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Short> {
    let rest = reader.rest();
    let end = memchr::memchr(0, rest).unwrap_or(rest.len());
    let text = reader.take(end)?;
    reader.skip(1)?;
    Ok(text)
}

/// A length-encoded integer.
pub(super) fn lenenc_int(reader: &mut Reader<'_>) -> Result<u64, Short> {
    match reader.u8()? {
        0xfc => reader.u16_le().map(u64::from),
        0xfd => {
            let (low, high) = (reader.u16_le()?, reader.u8()?);
            Ok(u64::from(low) | u64::from(high) << 16)
        }
        0xfe => reader.u64_le(),
        small => Ok(u64::from(small)),
    }
}

/// A length-encoded text.
pub(super) fn lenenc<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Short> {
    let length = lenenc_int(reader)?;
    reader.take(usize::try_from(length).unwrap_or(usize::MAX))
}

/// A value of a text row; `None` is NULL. One that is cut is given as far as it goes.
pub(super) fn text_value<'a>(reader: &mut Reader<'a>) -> Option<Option<&'a [u8]>> {
    if reader.rest().first() == Some(&0xfb) {
        reader.skip(1).ok()?;
        return Some(None);
    }
    let length = lenenc_int(reader).ok()?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    reader.take(length.min(reader.left())).ok().map(Some)
}

/// The server's first packet, protocol version 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handshake<'a> {
    pub server_version: &'a [u8],
    pub thread_id: u32,
    pub capabilities: u32,
    pub auth_plugin: &'a [u8],
}

/// Reads the payload of a handshake packet; the challenge in it is passed over.
pub(super) fn handshake(payload: &[u8]) -> Option<Handshake<'_>> {
    let mut reader = Reader::new(payload);
    if reader.u8().ok()? != 10 {
        return None;
    }
    let server_version = text(&mut reader).ok()?;
    let is_plain = |byte: &u8| (0x20..0x7f).contains(byte);
    if server_version.is_empty() || !server_version.iter().all(is_plain) {
        return None;
    }
    let thread_id = reader.u32_le().ok()?;
    reader.skip(8 + 1).ok()?;
    let mut found = Handshake {
        server_version,
        thread_id,
        capabilities: u32::from(reader.u16_le().ok()?),
        auth_plugin: &[],
    };
    let mut rest = || {
        reader.skip(1 + 2).ok()?;
        found.capabilities |= u32::from(reader.u16_le().ok()?) << 16;
        let challenge = usize::from(reader.u8().ok()?);
        reader.skip(10 + challenge.saturating_sub(8).max(13)).ok()?;
        let plugin = reader.rest();
        found.auth_plugin = plugin.split(|byte| *byte == 0).next()?;
        Some(())
    };
    // Servers of old end after the lower capabilities.
    rest();
    Some(found)
}

/// The client's answer to the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Login<'a> {
    pub capabilities: u32,
    pub character_set: u8,
    pub user: &'a [u8],
    /// Whether it holds a proof of the password.
    pub auth_sent: bool,
    pub database: &'a [u8],
    pub auth_plugin: &'a [u8],
    /// Attributes, names and values length-encoded in turn.
    pub attributes: &'a [u8],
}

/// The capabilities of a client's first packet.
pub(super) fn client_capabilities(payload: &[u8]) -> Option<u32> {
    let low = Reader::new(payload).u16_le().ok()?;
    if u32::from(low) & capability::PROTOCOL_41 == 0 {
        return Some(u32::from(low));
    }
    Reader::new(payload).u32_le().ok()
}

/// Whether the payload is an SSLRequest: what a login begins with, and nothing more.
pub(super) fn is_ssl_request(payload: &[u8]) -> bool {
    let wants = client_capabilities(payload).is_some_and(|flags| flags & capability::SSL != 0);
    wants && payload.len() == 32
}

/// Reads a HandshakeResponse41 or HandshakeResponse320.
pub(super) fn login(payload: &[u8]) -> Option<Login<'_>> {
    let capabilities = client_capabilities(payload)?;
    let has = |flag| capabilities & flag != 0;
    let mut reader = Reader::new(payload);
    let mut found = Login {
        capabilities,
        character_set: 0,
        user: &[],
        auth_sent: false,
        database: &[],
        auth_plugin: &[],
        attributes: &[],
    };
    if !has(capability::PROTOCOL_41) {
        reader.skip(2 + 3).ok()?;
        found.user = text(&mut reader).ok()?;
        let auth = text(&mut reader).unwrap_or(reader.rest());
        found.auth_sent = !auth.is_empty();
        if has(capability::CONNECT_WITH_DB) {
            found.database = text(&mut reader).unwrap_or_default();
        }
        return Some(found);
    }
    reader.skip(4 + 4).ok()?;
    found.character_set = reader.u8().ok()?;
    reader.skip(23).ok()?;
    found.user = text(&mut reader).ok()?;
    let auth = auth_data(&mut reader, capabilities).ok()?;
    found.auth_sent = !auth.is_empty();
    let mut rest = || {
        if has(capability::CONNECT_WITH_DB) {
            found.database = text(&mut reader).ok()?;
        }
        if has(capability::PLUGIN_AUTH) {
            found.auth_plugin = text(&mut reader).ok()?;
        }
        if has(capability::CONNECT_ATTRS) {
            found.attributes = lenenc(&mut reader).ok()?;
        }
        Some(())
    };
    rest();
    Some(found)
}

fn auth_data<'a>(reader: &mut Reader<'a>, capabilities: u32) -> Result<&'a [u8], Short> {
    if capabilities & capability::PLUGIN_AUTH_LENENC_CLIENT_DATA != 0 {
        lenenc(reader)
    } else if capabilities & capability::SECURE_CONNECTION != 0 {
        let length = reader.u8()?;
        reader.take(length.into())
    } else {
        text(reader)
    }
}

/// The parts of a COM_CHANGE_USER behind its command byte.
pub(super) fn change_user(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader::new(body);
    let user = text(&mut reader).ok()?;
    let length = reader.u8().ok()?;
    reader.skip(length.into()).ok()?;
    Some((user, text(&mut reader).unwrap_or_default()))
}

/// An OK packet, behind its first byte.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ok<'a> {
    pub affected_rows: u64,
    pub last_insert_id: u64,
    pub status: u16,
    pub warnings: u16,
    pub info: &'a [u8],
    /// Schema that the session went over to.
    pub schema: Option<&'a [u8]>,
}

/// Reads an OK packet.
pub(super) fn ok(payload: &[u8], tracks: bool) -> Option<Ok<'_>> {
    let mut reader = Reader::new(payload);
    reader.skip(1).ok()?;
    let mut ok = Ok {
        affected_rows: lenenc_int(&mut reader).ok()?,
        last_insert_id: lenenc_int(&mut reader).ok()?,
        status: reader.u16_le().ok()?,
        warnings: reader.u16_le().unwrap_or_default(),
        ..Ok::default()
    };
    if !tracks {
        ok.info = reader.rest();
        return Some(ok);
    }
    ok.info = lenenc(&mut reader).unwrap_or_default();
    if ok.status & SESSION_STATE_CHANGED != 0 {
        ok.schema = changed_schema(lenenc(&mut reader).unwrap_or_default());
    }
    Some(ok)
}

/// The schema among the changes of a session.
fn changed_schema(changes: &[u8]) -> Option<&[u8]> {
    const SCHEMA: u8 = 1;
    let mut reader = Reader::new(changes);
    loop {
        let kind = reader.u8().ok()?;
        let data = lenenc(&mut reader).ok()?;
        if kind == SCHEMA {
            return lenenc(&mut Reader::new(data)).ok();
        }
    }
}

/// An ERR packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Err<'a> {
    pub code: u16,
    /// Empty before the handshake is done.
    pub sql_state: &'a [u8],
    pub message: &'a [u8],
}

/// Reads an ERR packet.
pub(super) fn err(payload: &[u8]) -> Option<Err<'_>> {
    let mut reader = Reader::new(payload);
    if reader.u8().ok()? != 0xff {
        return None;
    }
    let code = reader.u16_le().ok()?;
    let rest = reader.rest();
    let (sql_state, message) = match rest {
        [b'#', state @ ..] if state.len() >= 5 => state.split_at(5),
        _ => (&[][..], rest),
    };
    Some(Err {
        code,
        sql_state,
        message,
    })
}

/// The status flags of an EOF packet.
pub(super) fn eof_status(payload: &[u8]) -> u16 {
    let mut reader = Reader::new(payload);
    let status = reader.skip(3).and_then(|()| reader.u16_le());
    status.unwrap_or_default()
}

/// What a result is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column<'a> {
    pub name: &'a [u8],
    pub character_set: u16,
    pub kind: u8,
    pub flags: u16,
}

/// Reads a column definition (protocol 4.1).
pub(super) fn column(payload: &[u8]) -> Option<Column<'_>> {
    let mut reader = Reader::new(payload);
    // Catalog, schema, table, original table.
    for _ in 0..4 {
        lenenc(&mut reader).ok()?;
    }
    let name = lenenc(&mut reader).ok()?;
    lenenc(&mut reader).ok()?;
    let mut fixed = Reader::new(reader.rest());
    // MariaDB puts its extended types in between; the length of what follows is always 12.
    while fixed.rest().first().is_some_and(|length| *length != 12) {
        lenenc(&mut fixed).ok()?;
    }
    fixed.skip(1).ok()?;
    let character_set = fixed.u16_le().ok()?;
    fixed.skip(4).ok()?;
    Some(Column {
        name,
        character_set,
        kind: fixed.u8().ok()?,
        flags: fixed.u16_le().ok()?,
    })
}

/// An answer to COM_STMT_PREPARE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prepared {
    pub statement_id: u32,
    pub columns: u16,
    pub parameters: u16,
}

/// Reads a COM_STMT_PREPARE_OK.
pub(super) fn prepared(payload: &[u8]) -> Option<Prepared> {
    let mut reader = Reader::new(payload);
    reader.skip(1).ok()?;
    Some(Prepared {
        statement_id: reader.u32_le().ok()?,
        columns: reader.u16_le().ok()?,
        parameters: reader.u16_le().ok()?,
    })
}

/// The names of commands.
pub(super) fn command_name(command: u8) -> Option<&'static str> {
    Some(match command {
        0x00 => "COM_SLEEP",
        0x01 => "COM_QUIT",
        0x02 => "COM_INIT_DB",
        0x03 => "COM_QUERY",
        0x04 => "COM_FIELD_LIST",
        0x05 => "COM_CREATE_DB",
        0x06 => "COM_DROP_DB",
        0x07 => "COM_REFRESH",
        0x08 => "COM_SHUTDOWN",
        0x09 => "COM_STATISTICS",
        0x0a => "COM_PROCESS_INFO",
        0x0b => "COM_CONNECT",
        0x0c => "COM_PROCESS_KILL",
        0x0d => "COM_DEBUG",
        0x0e => "COM_PING",
        0x0f => "COM_TIME",
        0x10 => "COM_DELAYED_INSERT",
        0x11 => "COM_CHANGE_USER",
        0x12 => "COM_BINLOG_DUMP",
        0x13 => "COM_TABLE_DUMP",
        0x14 => "COM_CONNECT_OUT",
        0x15 => "COM_REGISTER_SLAVE",
        0x16 => "COM_STMT_PREPARE",
        0x17 => "COM_STMT_EXECUTE",
        0x18 => "COM_STMT_SEND_LONG_DATA",
        0x19 => "COM_STMT_CLOSE",
        0x1a => "COM_STMT_RESET",
        0x1b => "COM_SET_OPTION",
        0x1c => "COM_STMT_FETCH",
        0x1d => "COM_DAEMON",
        0x1e => "COM_BINLOG_DUMP_GTID",
        0x1f => "COM_RESET_CONNECTION",
        // MariaDB
        0xfa => "COM_STMT_BULK_EXECUTE",
        _ => return None,
    })
}

/// Whether the payload can be a command, judged by what each has at least.
pub(super) fn looks_like_command(payload: &[u8]) -> bool {
    let Some((command, body)) = payload.split_first() else {
        return false;
    };
    match command {
        0x01 | 0x09 | 0x0a | 0x0d | 0x0e | 0x1f => body.is_empty(),
        0x02 | 0x05 | 0x06 => is_whole_text(body) && body.len() <= 64 * 4,
        0x03 => is_whole_text(body) || matches!(body, [0, 1, query @ ..] if is_whole_text(query)),
        0x16 => is_whole_text(body),
        0x17 | 0x1c => body.len() >= 8,
        0x19 | 0x1a => body.len() == 4,
        _ => false,
    }
}

/// Text without control characters, to its end.
fn is_whole_text(text: &[u8]) -> bool {
    !text.is_empty() && std::str::from_utf8(text).is_ok() && looks_like_text(text)
}

/// Whether bytes may be the beginning of SQL.
pub(super) fn looks_like_text(text: &[u8]) -> bool {
    // The last character may be cut.
    let is_utf8 =
        std::str::from_utf8(text).map_or_else(|error| error.error_len().is_none(), |_| true);
    let is_plain = |byte: &u8| *byte >= 0x20 && *byte != 0x7f || b"\t\r\n".contains(byte);
    is_utf8 && text.iter().all(is_plain)
}
