//! Objects of items are used again, and no script can come upon that.

use super::{NOW, Rig};
use crate::item::{flat, sample};
use crate::script::wire::{Batch, Small, ToChild};

/// Items of which a few collections are made.
const ITEMS: u64 = 5000;

/// Items whose index and client port are their numbers.
fn numbered(count: u64) -> ToChild {
    let mut records = Vec::new();
    for number in 0..count {
        let mut item = sample::http();
        item.number = number;
        item.index = u32::try_from(number).unwrap();
        item.src.endpoint.port = u16::try_from(number).unwrap();
        flat::encode(&item, &mut records);
    }
    ToChild::Items(Batch::new(0, count - 1, NOW, &records, 1))
}

/// Ways to keep an item, each with the way to get it back.
const KEPT: &str = r"[
    d => () => d,
    d => { var o = {d: d}; return () => o.d },
    d => { var list = [[[d]]]; return () => list[0][0][0] },
    d => { var map = new Map([[d, 1]]); return () => map.keys().next().value },
    d => { var weak = new WeakRef(d); return () => weak.deref() },
    d => (function () { return this }).bind(d),
    d => { function* g() { yield 0; yield d } var made = g(); made.next(); return () => made.next().value },
    d => { var got; (async () => { await null; got = d })(); return () => got },
    d => { var got; Promise.resolve(d).then(v => { got = v }); return () => got },
    d => { var p = new Proxy(d, {}); return () => p },
    d => { var p = Proxy.revocable(d, {get: (t, k, r) => Reflect.get(t, k, r)}).proxy; return () => p },
    d => { var o = Object.create(new Proxy(Object.create(d), {})); return () => o },
    d => { var args = (function () { return arguments })(d); return () => args[0] },
    d => { var e = new Error('x'); e.d = d; return () => e.d },
    d => { var src = d.src; src.up = d; return () => src.up },
    d => { d.self = d; var {self} = d; return () => self.self },
]";

#[test]
fn what_is_kept_is_the_item_that_it_was() {
    let mut rig = Rig::new(&format!(
        "var kept = [], ways = {KEPT};
        function onItemCaptured(data) {{
            if (data.index % 200) {{
                // Garbage that holds the item, so that there is something to collect.
                var held = () => data;
                return held().src.port;
            }}
            var way = ways[data.index / 200 % ways.length];
            kept.push([data.index, String(way), way(data), data.dst]);
        }}
        function onJobPassed() {{
            kept.forEach(function ([index, way, get, dst]) {{
                var item = get();
                // A weak reference may have lost it, and must not have found another one.
                if (item === undefined && way.includes('WeakRef')) return;
                var got = [item.index, item.src.port, item.dst === dst].join();
                if (got !== [index, index, true].join()) console.log(way, index, got);
            }});
            console.log(kept.length > ways.length);
        }}"
    ));
    rig.ask(numbered(ITEMS));
    rig.ask(ToChild::Small(Small::JobEnded {
        tag: "t".into(),
        cron: "c".into(),
        limit: 0,
        err: None,
    }));
    assert_eq!(rig.lines, ["true"]);
}

#[test]
fn what_knows_an_item_without_a_handle_does_not_know_the_next() {
    let mut rig = Rig::new(
        "class Same { constructor(o) { return o } }
        class Stamp extends Same { #name = 1; static is(o) { return #name in o } }
        var set = new WeakSet(), map = new WeakMap(), made = new WeakMap(), count = 0;
        var registry = new FinalizationRegistry(() => {});
        function known(o) {
            if (set.has(o) || map.has(o) || made.has(o) || Stamp.is(o) || registry.unregister(o)) return true;
            set.add(o);
            map = new WeakMap([[o, 1]]);
            made.getOrInsert(o, 1);
            registry.register({}, 1, o);
            new Stamp(o);
            return !(set.has(o) && map.has(o) && made.has(o) && Stamp.is(o));
        }
        function onItemCaptured(data) {
            if ([data, data.src, data.request, data.request.headers].some(known)) console.log(data.index);
            count++;
        }
        function onJobPassed() { console.log(count) }",
    );
    rig.items(300);
    assert_eq!(rig.lines, [""; 0]);
}

#[test]
fn a_change_to_an_item_is_not_in_the_next() {
    let changes = [
        "d.failed = true; d.src = d.dst; d.request.headers.Host = 'x'",
        "d.extra = 1",
        "d.src.extra = 1",
        "d[7] = 1",
        "delete d.src.ip",
        "delete d.passed; d.passed = false",
        "d.protocol.ports.push('81')",
        "Object.defineProperty(d, 'size', {get: function () { return 5 }})",
        "Object.defineProperty(new Proxy(d, {}), 'size', {get: function () { return 5 }})",
        "Object.defineProperties(d.dst, {ip: {value: 1}})",
        "Reflect.defineProperty(d.src, 'ip', {get: function () { return 5 }})",
        "d.src.__defineGetter__('ip', function () { return 5 })",
        "d.__defineSetter__('id', function () {})",
        "new Proxy(d, {}).id = 7",
        "Object.setPrototypeOf(d, {more: 1})",
        "Object.setPrototypeOf(d.request.headers, null)",
        "Object.preventExtensions(d); Object.preventExtensions(d.src)",
        "Object.seal(d)",
        "Object.freeze(d.dst)",
        "d[Symbol.toStringTag] = 'x'",
        "d.self = d",
    ];
    for change in changes {
        let mut rig = Rig::new(&format!(
            "var first, turn = 0;
            function shown(o) {{
                var keys = []; for (var key in o) keys.push(key);
                return [JSON.stringify(o), keys, Reflect.ownKeys(o).map(String), String(o),
                    Object.isExtensible(o), Object.isSealed(o), JSON.stringify({{...o}})].join();
            }}
            function onItemCaptured(d) {{
                if (turn++ % 2) {{ {change}; return }}
                d.index = 0; d.id = d.entryFile = '';
                var all = [d, d.src, d.dst, d.request.headers].map(shown).join('\\n');
                first = first || all;
                if (all !== first) console.log(first, all);
                if (d.request.method !== 'POST' || d.src.ip !== '10.244.1.5') console.log('members');
            }}
            function onJobPassed() {{ console.log(turn) }}"
        ));
        rig.items(6);
        assert_eq!(rig.lines, [""; 0], "{change}");
    }
}
