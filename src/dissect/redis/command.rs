//! A command's words: where they stand, and which of them is the key.
//!
//! In: the bytes of one command as sent, perhaps cut at their end. Out: its words, and their part
//! in the item. Never: an opinion whether the command is allowed. Standards: the RESP
//! specification ("Sending commands to a Redis server", "Inline commands"), the key positions of
//! the command reference.

use std::borrow::Cow;

use super::parser::{Head, HeadStep, Kind, head};
use crate::item::Told;

/// Bytes of a command line that an item shows: its value has the rest.
const MAX_LINE: usize = 1024;

/// Words of a command, in order.
pub(super) enum Words<'a> {
    /// An array of bulk strings.
    Array(&'a [u8]),
    /// A line.
    Inline(&'a [u8]),
}

impl<'a> Words<'a> {
    /// The words of `command`; the last may be cut.
    pub(super) fn of(command: &'a [u8]) -> Words<'a> {
        match head(command) {
            HeadStep::Head(Head::Aggregate(Kind::Array, _), size) => {
                Words::Array(command.get(size..).unwrap_or_default())
            }
            HeadStep::Head(..) => Words::Array(&[]),
            _ => Words::Inline(command),
        }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Cow<'a, [u8]>> {
        match self {
            Words::Array(rest) => {
                let HeadStep::Head(Head::Bulk(Kind::BulkString, length), size) = head(rest) else {
                    return None;
                };
                let body = rest.get(size..)?;
                let length = usize::try_from(length).ok()?;
                let word = body.get(..length).unwrap_or(body);
                *rest = length
                    .checked_add(2)
                    .and_then(|next| body.get(next..))
                    .unwrap_or_default();
                Some(Cow::Borrowed(word))
            }
            Words::Inline(rest) => inline_word(rest),
        }
    }
}

/// Takes one word off an inline command, with quotes and escapes as `sdssplitargs` of the server
/// reads them.
fn inline_word<'a>(rest: &mut &'a [u8]) -> Option<Cow<'a, [u8]>> {
    let line = rest.trim_ascii_start();
    let plain = line
        .iter()
        .take_while(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\''))
        .count();
    if line.is_empty() {
        return None;
    }
    let (word, behind) = line.split_at_checked(plain)?;
    if behind.first().is_none_or(u8::is_ascii_whitespace) {
        *rest = behind;
        return Some(Cow::Borrowed(word));
    }
    let mut word = word.to_vec();
    let mut quote = None;
    let mut bytes = behind.iter().enumerate().peekable();
    while let Some((at, &byte)) = bytes.next() {
        match (quote, byte) {
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, byte) if byte.is_ascii_whitespace() => {
                *rest = behind.get(at..).unwrap_or_default();
                return Some(Cow::Owned(word));
            }
            (Some(open), byte) if open == byte => quote = None,
            (Some(b'"'), b'\\') => match bytes.next() {
                Some((at, b'x')) => {
                    let digits = behind.get(at + 1..at + 3).unwrap_or_default();
                    let text = std::str::from_utf8(digits).unwrap_or_default();
                    match u8::from_str_radix(text, 16) {
                        Ok(escaped) if digits.len() == 2 => {
                            word.push(escaped);
                            bytes.next();
                            bytes.next();
                        }
                        _ => word.push(b'x'),
                    }
                }
                Some((_, b'n')) => word.push(b'\n'),
                Some((_, b'r')) => word.push(b'\r'),
                Some((_, b't')) => word.push(b'\t'),
                Some((_, b'b')) => word.push(8),
                Some((_, b'a')) => word.push(7),
                Some((_, other)) => word.push(*other),
                None => {}
            },
            (Some(b'\''), b'\\') if bytes.peek().is_some_and(|(_, next)| **next == b'\'') => {
                bytes.next();
                word.push(b'\'');
            }
            (_, byte) => word.push(byte),
        }
    }
    *rest = &[];
    Some(Cow::Owned(word))
}

/// Bytes of the longest verb, `GEORADIUSBYMEMBER_RO`.
const MAX_VERB: usize = 20;

/// The first word of a command in upper case, empty when there is none; of one that is longer than any
/// verb its front.
pub(super) struct Verb {
    bytes: [u8; MAX_VERB],
    len: usize,
}

impl Verb {
    /// The verb of a command.
    pub(super) fn of(command: &[u8]) -> Verb {
        let word = Words::of(command).next().unwrap_or_default();
        let mut verb = Verb {
            bytes: [0; MAX_VERB],
            len: word.len().min(MAX_VERB),
        };
        for (to, from) in verb.bytes.iter_mut().zip(&*word) {
            *to = from.to_ascii_uppercase();
        }
        verb
    }

    /// Its bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// The verb as it stands in `command`, or as it stands in [`KNOWN`]; `None` when it has to be made.
pub(super) fn verb_told(command: &[u8]) -> Option<Told<'_>> {
    match Words::of(command).next() {
        Some(Cow::Borrowed(word)) => match is_upper(word) {
            true => Some(Told::Text(word)),
            false => known(word).map(Told::Static),
        },
        Some(Cow::Owned(_)) => None,
        None => Some(Told::Static("")),
    }
}

/// The first key, or the channel, as it stands in `command`; `None` when it has to be looked for.
pub(super) fn key_told(command: &[u8]) -> Option<Told<'_>> {
    let verb = match verb_told(command)? {
        Told::Text(verb) => std::str::from_utf8(verb).ok()?,
        Told::Static(verb) => verb,
        Told::Int(_) => return None,
    };
    let at = match key_at(verb) {
        KeyAt::None => return Some(Told::Text(&[])),
        KeyAt::Word(at) => at,
        KeyAt::BehindCount(_) | KeyAt::BehindStreams => return None,
    };
    match Words::of(command).nth(at) {
        Some(Cow::Borrowed(word)) => Some(Told::Text(word)),
        Some(Cow::Owned(_)) => None,
        None => Some(Told::Text(&[])),
    }
}

/// Whether a word is ASCII without lower-case letters.
fn is_upper(word: &[u8]) -> bool {
    word.iter()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_lowercase())
}

/// The verb of [`KNOWN`] that a word is, whatever its case.
fn known(word: &[u8]) -> Option<&'static str> {
    let upper = |known: &&str| known.bytes().cmp(word.iter().map(u8::to_ascii_uppercase));
    let at = KNOWN.binary_search_by(upper).ok()?;
    KNOWN.get(at).copied()
}

/// Where the key of a command stands.
enum KeyAt {
    /// It has none.
    None,
    /// It is this word, the verb being word 0.
    Word(usize),
    /// It comes behind the count of keys, which is this word; a count of 0 means no key.
    BehindCount(usize),
    /// It comes behind the word `STREAMS`.
    BehindStreams,
}

/// Commands that have words of their own behind the verb, such as `CONFIG SET`.
const CONTAINERS: &[&str] = &[
    "ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "FUNCTION", "LATENCY", "MEMORY",
    "MODULE", "OBJECT", "PUBSUB", "REPLCONF", "SCRIPT", "SENTINEL", "SLOWLOG", "XGROUP", "XINFO",
];

/// Where the key stands, when it is not the word behind the verb.
fn key_at(verb: &str) -> KeyAt {
    match verb {
        "ACL" | "ASKING" | "AUTH" | "BGREWRITEAOF" | "BGSAVE" | "CLIENT" | "CLUSTER"
        | "COMMAND" | "CONFIG" | "DBSIZE" | "DISCARD" | "ECHO" | "EXEC" | "FAILOVER"
        | "FLUSHALL" | "FLUSHDB" | "FUNCTION" | "HELLO" | "INFO" | "KEYS" | "LASTSAVE"
        | "LATENCY" | "LOLWUT" | "MODULE" | "MONITOR" | "MULTI" | "PING" | "PSYNC" | "PUBSUB"
        | "QUIT" | "RANDOMKEY" | "READONLY" | "READWRITE" | "REPLCONF" | "REPLICAOF" | "RESET"
        | "ROLE" | "SAVE" | "SCAN" | "SCRIPT" | "SELECT" | "SENTINEL" | "SHUTDOWN" | "SLAVEOF"
        | "SLOWLOG" | "SWAPDB" | "SYNC" | "TIME" | "UNWATCH" | "WAIT" | "WAITAOF" => KeyAt::None,
        "BITOP" | "DEBUG" | "MEMORY" | "OBJECT" | "XGROUP" | "XINFO" => KeyAt::Word(2),
        "MIGRATE" => KeyAt::Word(3),
        "LMPOP" | "SINTERCARD" | "ZDIFF" | "ZINTER" | "ZINTERCARD" | "ZMPOP" | "ZUNION" => {
            KeyAt::BehindCount(1)
        }
        "BLMPOP" | "BZMPOP" | "EVAL" | "EVALSHA" | "EVALSHA_RO" | "EVAL_RO" | "FCALL"
        | "FCALL_RO" => KeyAt::BehindCount(2),
        "XREAD" | "XREADGROUP" => KeyAt::BehindStreams,
        _ => KeyAt::Word(1),
    }
}

/// The words of a command by their part in the item.
pub(super) struct Parts<'a> {
    /// The verb, upper case.
    pub verb: String,
    /// The second word of a container command, upper case.
    pub keyword: String,
    /// The first key, or the channel.
    pub key: Cow<'a, [u8]>,
    /// All words but verb, keyword and key.
    pub values: Vec<Cow<'a, [u8]>>,
    /// All words, verb and keyword in upper case; its first [`MAX_LINE`] bytes.
    pub line: Vec<u8>,
}

/// Sorts the words of a command.
pub(super) fn parts(command: &[u8]) -> Parts<'_> {
    let mut words: Vec<Cow<'_, [u8]>> = Words::of(command).collect();
    let upper =
        |word: &Cow<'_, [u8]>| String::from_utf8_lossy(&word.to_ascii_uppercase()).into_owned();
    let verb = words.first().map(upper).unwrap_or_default();
    let contained = CONTAINERS.contains(&verb.as_str());
    let keyword = match words.get(1) {
        Some(word) if contained => upper(word),
        _ => String::new(),
    };
    let line = line(&verb, &keyword, &words);
    let key_at = match key_at(&verb) {
        KeyAt::None => None,
        KeyAt::Word(at) => Some(at),
        KeyAt::BehindCount(at) => match words.get(at) {
            Some(count) if **count != *b"0" => Some(at + 1),
            _ => None,
        },
        KeyAt::BehindStreams => words
            .iter()
            .position(|word| word.eq_ignore_ascii_case(b"STREAMS"))
            .map(|at| at + 1),
    };
    let key = match key_at.and_then(|at| words.get_mut(at)) {
        Some(word) => std::mem::take(word),
        None => Cow::Borrowed(&[][..]),
    };
    let used = |at: usize| at == 0 || (contained && at == 1) || key_at == Some(at);
    let values = words
        .into_iter()
        .enumerate()
        .filter(|(at, _)| !used(*at))
        .map(|(_, word)| word)
        .collect();
    Parts {
        verb,
        keyword,
        key,
        values,
        line,
    }
}

fn line(verb: &str, keyword: &str, words: &[Cow<'_, [u8]>]) -> Vec<u8> {
    let mut line = verb.as_bytes().to_vec();
    if !keyword.is_empty() {
        line.push(b' ');
        line.extend_from_slice(keyword.as_bytes());
    }
    for word in words.iter().skip(1 + usize::from(!keyword.is_empty())) {
        if line.len() >= MAX_LINE {
            break;
        }
        line.push(b' ');
        line.extend_from_slice(word.get(..MAX_LINE).unwrap_or(word));
    }
    line.truncate(MAX_LINE);
    line
}

/// Whether a server of Redis, Valkey or their kin knows this verb, in upper case.
pub(super) fn is_known(verb: &[u8]) -> bool {
    KNOWN
        .binary_search_by(|known| known.as_bytes().cmp(verb))
        .is_ok()
}

/// Verbs of the command reference, in order.
#[rustfmt::skip]
const KNOWN: &[&str] = &[
    "ACL", "APPEND", "ASKING", "AUTH", "BGREWRITEAOF", "BGSAVE", "BITCOUNT", "BITFIELD",
    "BITFIELD_RO", "BITOP", "BITPOS", "BLMOVE", "BLMPOP", "BLPOP", "BRPOP", "BRPOPLPUSH",
    "BZMPOP", "BZPOPMAX", "BZPOPMIN", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "COPY", "DBSIZE",
    "DEBUG", "DECR", "DECRBY", "DEL", "DISCARD", "DUMP", "ECHO", "EVAL", "EVALSHA", "EVALSHA_RO",
    "EVAL_RO", "EXEC", "EXISTS", "EXPIRE", "EXPIREAT", "EXPIRETIME", "FAILOVER", "FCALL",
    "FCALL_RO", "FLUSHALL", "FLUSHDB", "FUNCTION", "GEOADD", "GEODIST", "GEOHASH", "GEOPOS",
    "GEORADIUS", "GEORADIUSBYMEMBER", "GEORADIUSBYMEMBER_RO", "GEORADIUS_RO", "GEOSEARCH",
    "GEOSEARCHSTORE", "GET", "GETBIT", "GETDEL", "GETEX", "GETRANGE", "GETSET", "HDEL", "HELLO",
    "HEXISTS", "HEXPIRE", "HEXPIREAT", "HEXPIRETIME", "HGET", "HGETALL", "HGETDEL", "HGETEX",
    "HINCRBY", "HINCRBYFLOAT", "HKEYS", "HLEN", "HMGET", "HMSET", "HPERSIST", "HPEXPIRE",
    "HPEXPIREAT", "HPEXPIRETIME", "HPTTL", "HRANDFIELD", "HSCAN", "HSET", "HSETEX", "HSETNX",
    "HSTRLEN", "HTTL", "HVALS", "INCR", "INCRBY", "INCRBYFLOAT", "INFO", "KEYS", "LASTSAVE",
    "LATENCY", "LCS", "LINDEX", "LINSERT", "LLEN", "LMOVE", "LMPOP", "LOLWUT", "LPOP", "LPOS",
    "LPUSH", "LPUSHX", "LRANGE", "LREM", "LSET", "LTRIM", "MEMORY", "MGET", "MIGRATE", "MODULE",
    "MONITOR", "MOVE", "MSET", "MSETNX", "MULTI", "OBJECT", "PERSIST", "PEXPIRE", "PEXPIREAT",
    "PEXPIRETIME", "PFADD", "PFCOUNT", "PFDEBUG", "PFMERGE", "PFSELFTEST", "PING", "PSETEX",
    "PSUBSCRIBE", "PSYNC", "PTTL", "PUBLISH", "PUBSUB", "PUNSUBSCRIBE", "QUIT", "RANDOMKEY",
    "READONLY", "READWRITE", "RENAME", "RENAMENX", "REPLCONF", "REPLICAOF", "RESET", "RESTORE",
    "RESTORE-ASKING", "ROLE", "RPOP", "RPOPLPUSH", "RPUSH", "RPUSHX", "SADD", "SAVE", "SCAN",
    "SCARD", "SCRIPT", "SDIFF", "SDIFFSTORE", "SELECT", "SENTINEL", "SET", "SETBIT", "SETEX",
    "SETNX", "SETRANGE", "SHUTDOWN", "SINTER", "SINTERCARD", "SINTERSTORE", "SISMEMBER",
    "SLAVEOF", "SLOWLOG", "SMEMBERS", "SMISMEMBER", "SMOVE", "SORT", "SORT_RO", "SPOP",
    "SPUBLISH", "SRANDMEMBER", "SREM", "SSCAN", "SSUBSCRIBE", "STRLEN", "SUBSCRIBE", "SUBSTR",
    "SUNION", "SUNIONSTORE", "SUNSUBSCRIBE", "SWAPDB", "SYNC", "TIME", "TOUCH", "TTL", "TYPE",
    "UNLINK", "UNSUBSCRIBE", "UNWATCH", "VADD", "VCARD", "VDIM", "VEMB", "VGETATTR", "VINFO",
    "VISMEMBER", "VLINKS", "VRANDMEMBER", "VREM", "VSETATTR", "VSIM", "WAIT", "WAITAOF", "WATCH",
    "XACK", "XACKDEL", "XADD", "XAUTOCLAIM", "XCLAIM", "XDEL", "XDELEX", "XGROUP", "XINFO",
    "XLEN", "XPENDING", "XRANGE", "XREAD", "XREADGROUP", "XREVRANGE", "XSETID", "XTRIM", "ZADD",
    "ZCARD", "ZCOUNT", "ZDIFF", "ZDIFFSTORE", "ZINCRBY", "ZINTER", "ZINTERCARD", "ZINTERSTORE",
    "ZLEXCOUNT", "ZMPOP", "ZMSCORE", "ZPOPMAX", "ZPOPMIN", "ZRANDMEMBER", "ZRANGE",
    "ZRANGEBYLEX", "ZRANGEBYSCORE", "ZRANGESTORE", "ZRANK", "ZREM", "ZREMRANGEBYLEX",
    "ZREMRANGEBYRANK", "ZREMRANGEBYSCORE", "ZREVRANGE", "ZREVRANGEBYLEX", "ZREVRANGEBYSCORE",
    "ZREVRANK", "ZSCAN", "ZSCORE", "ZUNION", "ZUNIONSTORE",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &[u8]) -> Vec<String> {
        Words::of(command)
            .map(|word| String::from_utf8_lossy(&word).into_owned())
            .collect()
    }

    #[test]
    fn known_verbs_are_in_order() {
        assert!(KNOWN.is_sorted());
        let longest = KNOWN.iter().map(|verb| verb.len()).max();
        assert_eq!(longest, Some(MAX_VERB));
        assert!(is_known(b"GET") && !is_known(b"get") && !is_known(b"GETS"));
    }

    #[test]
    fn inline_words_have_quotes_and_escapes() {
        let line = br#"SET "a b" 'it\'s'  x"y"z "\x41\n\q" "#;
        assert_eq!(words(line), ["SET", "a b", "it's", "xyz", "A\nq"]);
        assert_eq!(words(b"PING\r\n"), ["PING"]);
        assert_eq!(words(b"SET k \"open\r\n"), ["SET", "k", "open\r\n"]);
        assert_eq!(words(b"\r\n"), [""; 0]);
    }

    #[test]
    fn a_cut_array_gives_the_words_that_are_there() {
        assert_eq!(words(b"*2\r\n$3\r\nGET\r\n$9\r\ncart"), ["GET", "cart"]);
        assert_eq!(words(b"*2\r\n$3\r\nGET\r\n$9"), ["GET"]);
        assert_eq!(words(b"*2\r\n$18446744073709551615\r\nGET"), [""; 0]);
    }

    #[test]
    fn the_key_stands_where_the_command_has_it() {
        let cases: &[(&[u8], &str, &str, &str, usize)] = &[
            (b"set cart:7 2 EX 60", "SET", "", "cart:7", 3),
            (b"CONFIG SET dir /tmp", "CONFIG", "SET", "", 2),
            (b"object encoding k", "OBJECT", "ENCODING", "k", 0),
            (b"EVAL script 1 k a", "EVAL", "", "k", 3),
            (b"EVAL script 0 a", "EVAL", "", "", 3),
            (b"XREAD COUNT 2 streams s 0", "XREAD", "", "s", 4),
            (b"BITOP AND dest a b", "BITOP", "", "dest", 3),
            (b"ZUNION 2 a b", "ZUNION", "", "a", 2),
            (b"PING", "PING", "", "", 0),
            (b"JSON.SET doc $ 1", "JSON.SET", "", "doc", 2),
        ];
        for (command, verb, keyword, key, values) in cases {
            let parts = parts(command);
            assert_eq!(
                (
                    &parts.verb[..],
                    &parts.keyword[..],
                    &*parts.key,
                    parts.values.len()
                ),
                (*verb, *keyword, key.as_bytes(), *values),
                "{}",
                String::from_utf8_lossy(command)
            );
        }
    }
}
