//! Items as scripts read and change them.

use super::{Rig, in_hook};
use crate::script::wire::{Small, ToChild};

#[test]
fn an_item_reads_like_a_plain_object() {
    let lines = in_hook(
        r"
        var plain = JSON.parse(env.PLAIN);
        function same(name, a, b) { console.log(name, a === b ? 'same' : a + ' <> ' + b); }
        same('text', JSON.stringify(data), env.PLAIN);
        same('indented', JSON.stringify(data, null, 2), JSON.stringify(plain, null, 2));
        var a = [], b = [];
        for (var k in data) a.push(k);
        for (var k in plain) b.push(k);
        same('for in', a.join(), b.join());
        same('keys', Object.keys(data).join(), b.join());
        same('names', Object.getOwnPropertyNames(data).join(), b.join());
        same('own', data.hasOwnProperty('src'), true);
        same('in', 'src' in data, true);
        same('identity', data.request, data.request);
        same('list identity', data.protocol.ports, data.protocol.ports);
        same('array', Array.isArray(data.protocol.ports), true);
        same('spread', JSON.stringify({...data}), env.PLAIN);
        same('assign', JSON.stringify(Object.assign({}, data)), env.PLAIN);
        same('entries', JSON.stringify(Object.fromEntries(Object.entries(data))), env.PLAIN);
        same('values', JSON.stringify(Object.values(data)), JSON.stringify(Object.values(plain)));
        same('string', String(data), '[object Object]');
        same('constructor', data.constructor, Object);
        same('read all', JSON.stringify(data), env.PLAIN);
        same('headers', data.request.headers['Content-Type'], 'application/json');
        same('number', data.elapsedTime + 1, 13);
        same('missing', data.request.nothing, undefined);
        same('replacer', JSON.stringify(data, ['index', 'tls']), '{\x22index\x22:0,\x22tls\x22:false}');
        ",
    );
    assert_eq!(lines.len(), 21);
    for line in lines {
        assert!(line.ends_with(" same"), "{line}");
    }
}

/// What scripts may do with an item, one after another; each has the same outcome on a plain object.
const PROBES: &str = r"[
    d => d.request.method + d.nothing + d.request.headers.Host,
    d => 'stream' in d, d => 'toString' in d, d => 'x' in d.src,
    d => d.hasOwnProperty('id') + ' ' + d.hasOwnProperty('Id'),
    d => Object.prototype.toString.call(d) + d + typeof d,
    d => Object.getPrototypeOf(Object.getPrototypeOf(d.request.headers)) === null,
    d => Object.keys(d.protocol), d => Object.entries(d.src), d => Object.values(d.protocol).length,
    d => { var s = ''; for (var k in d.src) s += k; return s },
    d => JSON.stringify({...d}), d => JSON.stringify(Object.assign({}, d.protocol)),
    d => { d.passed = true; d.protocol.name = 'x'; return JSON.stringify(d) },
    d => { d.added = 1; d['7'] = 2; return Object.keys(d).join() + d.added },
    d => { delete d.id; delete d.added; return [d.id, 'id' in d, Object.keys(d).length] },
    d => { var o = Object.create(d); o.stream = 1; o.fresh = 2; return [o.stream, d.stream, d.fresh, o.protocol === d.protocol] },
    d => { var o = Object.create(d.src); return [o.ip, Object.keys(o).length, 'ip' in o] },
    d => { Object.defineProperty(d, 'gone', {value: 5}); return [d.gone, Object.keys(d).indexOf('gone')] },
    d => { Object.defineProperty(d.dst, 'name', {get() { return this.port + '!' }}); return d.dst.name },
    d => { var seen = new Map([[d, 1], [d.src, 2]]); return [seen.get(d), seen.get(d.src), new WeakSet([d]).has(d)] },
    d => Reflect.ownKeys(d.protocol).length + ' ' + Reflect.has(d, 'index') + Reflect.get(d, 'index'),
    d => [Reflect.set(d, 'index', 9), d.index, Reflect.deleteProperty(d, 'index'), d.index],
    d => { var p = new Proxy(d, {get: (t, k) => k === 'stream' ? 'mine' : t[k]}); return [p.stream, p.tls, JSON.stringify(p).indexOf('mine') > 0] },
    d => { Object.setPrototypeOf(d, {inherited: 3}); return [d.inherited, d.stream, d.hasOwnProperty] },
    d => { d.__proto__ = Object.prototype; return d.inherited },
    d => { var {request, ...rest} = d; return [request.path, Object.keys(rest).length] },
    d => JSON.stringify(d), d => JSON.stringify([d, d.response]),
    d => { d.self = d; try { return JSON.stringify(d) } catch (e) { return e.name } },
    d => { d.self = {d: d}; try { return JSON.stringify(d) } catch (e) { return e.name } },
    d => { d.self = d.src; d.src.up = d.dst; d.dst.up = d.src; try { return JSON.stringify(d) } catch (e) { return e.name } },
]";

#[test]
fn an_item_cannot_be_told_from_a_plain_object() {
    let body = format!(
        "var plain = JSON.parse(JSON.stringify(data));
        ({PROBES}).forEach(function (probe, index) {{
            var [one, other] = [data, plain].map(d => String(probe(d)));
            if (one !== other) console.log(index, String(probe), one, other);
        }});
        console.log('compared');"
    );
    assert_eq!(in_hook(&body), ["compared"]);
}

#[test]
fn changes_to_an_item_are_seen_everywhere() {
    let lines = in_hook(
        r"
        var plain = JSON.parse(env.PLAIN);
        function check(name) {
          var got = JSON.stringify(data), wanted = JSON.stringify(plain);
          console.log(name, got === wanted ? 'same' : got + ' <> ' + wanted);
        }
        [data, plain].forEach(function (d) { delete d.passed; }); check('delete');
        [data, plain].forEach(function (d) { d.failed = true; }); check('assignment');
        [data, plain].forEach(function (d) { d.request.headers.Host = 'x'; }); check('nested write');
        [data, plain].forEach(function (d) { d.extra = {a: 1}; }); check('new key');
        [data, plain].forEach(function (d) { d.protocol.ports.push('81'); }); check('list');
        [data, plain].forEach(function (d) { delete d.request; }); check('deleted object');
        [data, plain].forEach(function (d) { d.src = d.dst; }); check('moved');
        [data, plain].forEach(function (d) { d[7] = 'index'; }); check('index key');
        [data, plain].forEach(function (d) { d.tls = undefined; }); check('undefined');
        [data, plain].forEach(function (d) {
          Object.defineProperty(d, 'size', {get: function () { return 5; }, enumerable: true, configurable: true});
        }); check('redefined');
        console.log('request' in data, data.failed, data.request);
        ",
    );
    assert_eq!(lines.len(), 11, "{lines:?}");
    for line in &lines[..10] {
        assert!(line.ends_with(" same"), "{line}");
    }
    assert_eq!(lines[10], "false true undefined");
}

#[test]
fn each_single_change_alone_is_seen() {
    let changes = [
        "delete d.passed",
        "d.failed = true",
        "d.request.headers.Host = 'x'",
        "d.extra = 1",
        "d.protocol.ports.push('81')",
        "d.protocol.ports[0] = 'x'",
        "d.protocol.ports.length = 1",
        "d[7] = 1",
        "delete d.src.ip; d.src.ip = '1'",
        "Object.defineProperty(d, 'size', {get: function () { return 5 }})",
        "Reflect.defineProperty(d.src, 'ip', {get: function () { return 5 }})",
        "d.src.__defineGetter__('ip', function () { return 5 })",
        "Object.prototype.toJSON = function () { return 7 }",
        "Object.defineProperty(new Proxy(d, {}), 'size', {get: function () { return 5 }})",
        "Object.setPrototypeOf(d, {toJSON: function () { return 7 }})",
        "d.passed = 1.5; d.size = NaN; d.index = -0; d.failed = 1e21",
        "d.passed = '\\ud800'; d.failed = 'ü\\u2028'",
        "d.passed = Symbol('x'); d.failed = function () {}; d.tls = undefined",
        "d.passed = new Date(0)",
        "d.passed = [d.src, d.dst]",
        "d.src = d.dst; d.dst = d.request.headers",
        "d.request.headers = {a: {b: 1}}",
        "d.src.toJSON = function () { return 7 }",
        "d.src.toJSON = 7",
        "Object.keys(d); d.src.name = 'x'; d.request.path = 'y'; d.response.content.size = 7",
        "Object.keys(d.src); delete d.src.port; d.src.port = {}",
        "Object.setPrototypeOf(d.src, {toJSON: function () { return 7 }})",
        "Object.freeze(d); delete d.src.ip",
        "Object.defineProperty(d.src, 'ip', {enumerable: false})",
        "d.protocol.ports = ['81']",
        "d['01'] = 1; d['1'] = 2; d.src['7'] = 3",
        "var src = d.src; delete d.src; d.src = src",
    ];
    for change in changes {
        let lines = in_hook(&format!(
            r"var plain = JSON.parse(env.PLAIN);
            [data, plain].forEach(function (d) {{ {change}; }});
            var [got, wanted] = [data, plain].map(d => JSON.stringify(d) + JSON.stringify(d, null, 2));
            console.log(got === wanted ? 'same' : got + ' <> ' + wanted);
            wanted = JSON.stringify(plain);
            console.log(wanted === env.PLAIN ? 'nothing changed' : 'changed');"
        ));
        assert_eq!(lines, ["same", "changed"], "{change}");
    }
}

#[test]
fn what_inherits_from_an_item_gets_keys_of_its_own() {
    let lines = in_hook(
        "var child = Object.create(data); child.tls = 7;
        console.log(child.index, child.tls, data.tls, Object.keys(child).join());",
    );
    assert_eq!(lines, ["0 7 false tls"]);
}

#[test]
fn kept_items_stay_as_they_were() {
    let mut rig = Rig::new(
        "var kept = [];
        function onItemCaptured(data) { kept.push(data); }
        function onJobPassed() { kept.forEach(function (d) {
          console.log(d.index, d.request.headers.Host, JSON.stringify(d).length) }) }",
    );
    rig.items(3);
    rig.items(2);
    rig.ask(ToChild::Small(Small::JobEnded {
        tag: "t".into(),
        cron: "c".into(),
        limit: 0,
        err: None,
    }));
    assert_eq!(rig.lines.len(), 5);
    assert_eq!(
        rig.lines[1].split(' ').take(2).collect::<Vec<_>>(),
        ["1", "cart.shop"]
    );
    assert!(rig.lines[4].starts_with("1 cart.shop"));
}

#[test]
fn go_names_lead_to_the_keys_and_are_not_seen() {
    let lines = in_hook(
        "console.log(data.Protocol.Name, data.Request.Method, data.Response.Content.Encoding,
          data.Source.IP, data.pcapFile, data.ElapsedTime);
        data.Passed = true;
        console.log(data.passed, Object.keys(data).indexOf('Passed'), data.request.headers.host);
        for (var k in data) if (k === 'Protocol') console.log('seen');",
    );
    assert_eq!(
        lines,
        [
            "http POST base64 10.244.1.5 000000000042.pcap 12",
            "true -1 undefined"
        ]
    );
}

#[test]
fn kfl_reads_items_and_altered_items_alike() {
    let lines = in_hook(
        r"console.log(kfl.match('http and response.status == 500', data), kfl.match('dns', data),
          kfl.match('', data), kfl.validate('http'), kfl.validate('http and', true));
        data.response.status = 200;
        console.log(kfl.match('response.status == 500', data), kfl.match('response.status == 200', data));
        kfl.validate('a == ?');
        try { kfl.match('a == ?', data) } catch (e) { console.log(e instanceof Error, String(e)) }",
    );
    assert_eq!(lines[..2], ["true false true true false", "false true"]);
    let text = lines[2].strip_prefix("E ").unwrap();
    assert!(text.starts_with("1:"), "{text}");
    assert_eq!(lines[3], format!("true Error: {text}"));
}
