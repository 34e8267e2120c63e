//! `Date` as scripts were written for it.
//!
//! In: the engine's `Date`. Out: one that reads the times of items, and that becomes text as otto
//! wrote it where that is wanted. Never: another moment than the engine would make of a text.

use boa_engine::{Context, JsNativeError, JsObject, JsResult, JsValue, Source, js_string};

use super::shims::define;
use crate::script::wire::Dates;

/// `Date` reads times as items write them: ECMA-262 section 21.4.1.18 knows three fraction digits,
/// RFC 3339 any number; those past the third are cut. Called as a function it answers what the method
/// called `shown` makes of now.
const DATE: &str = r"(function (shown) {
  const Original = Date, parse = Original.parse, construct = Reflect.construct;
  const exec = Function.prototype.call.bind(String.prototype.replace);
  const show = Function.prototype.call.bind(Function.prototype.call);
  const nine = /^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d{3})\d+/;
  const cut = (text) => exec(text, nine, '$1');
  const Shim = function Date(...args) {
    if (!new.target) return show(text, new Original());
    if (args.length === 1 && typeof args[0] === 'string') args[0] = cut(args[0]);
    return construct(Original, args, new.target);
  };
  const text = Original.prototype[shown];
  const define = (name, value) =>
    Object.defineProperty(Shim, name, { value, writable: true, configurable: true });
  define('now', Original.now);
  define('UTC', Original.UTC);
  define('parse', { parse(text) { return parse(cut(String(text))); } }.parse);
  Object.defineProperty(Shim, 'length', { value: 7, configurable: true });
  Object.defineProperty(Shim, 'prototype', { value: Original.prototype, writable: false });
  Object.defineProperty(Original.prototype, 'constructor', { value: Shim });
  return Shim;
})";

/// Texts of dates as otto's `builtin_date.go` lays them out; local time is UTC here.
const OTTO: &str = r"(function () {
  const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
  const MONTHS =
    ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
  const two = (number) => (number < 10 ? '0' : '') + number;
  const four = (year) => (year < 0 ? '-' : '') + ('000' + Math.abs(year)).slice(-Math.max(4, ('' + Math.abs(year)).length));
  const date = (at) => DAYS[at.getUTCDay()] + ', ' + two(at.getUTCDate()) + ' ' +
    MONTHS[at.getUTCMonth()] + ' ' + four(at.getUTCFullYear());
  const plain = (at) =>
    four(at.getUTCFullYear()) + '-' + two(at.getUTCMonth() + 1) + '-' + two(at.getUTCDate());
  const time = (at) =>
    two(at.getUTCHours()) + ':' + two(at.getUTCMinutes()) + ':' + two(at.getUTCSeconds());
  const texts = {
    toString: (at) => date(at) + ' ' + time(at) + ' UTC',
    toUTCString: (at) => date(at) + ' ' + time(at) + ' UTC',
    toGMTString: (at) => date(at) + ' ' + time(at) + ' GMT',
    toDateString: date,
    toTimeString: (at) => time(at) + ' UTC',
    toLocaleString: (at) => plain(at) + ' ' + time(at),
    toLocaleDateString: plain,
    toLocaleTimeString: time,
  };
  for (const name of Object.keys(texts)) {
    const text = texts[name];
    const value = { [name]() { return isNaN(this.getTime()) ? 'Invalid Date' : text(this); } }[name];
    Object.defineProperty(Date.prototype, name, { value, writable: true, configurable: true });
  }
})";

/// Puts the `Date` of scripts in the place of the engine's.
pub(super) fn install(global: &JsObject, dates: Dates, context: &mut Context) -> JsResult<()> {
    let shown = match dates {
        Dates::Otto => {
            run(OTTO, &[], context)?;
            js_string!("toGMTString")
        }
        Dates::Standard => js_string!("toString"),
    };
    let date = run(DATE, &[shown.into()], context)?;
    define(global, "Date", date, context)
}

/// Calls a function that is written in JavaScript.
fn run(function: &str, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let function = context.eval(Source::from_bytes(function))?;
    let function = function
        .as_callable()
        .ok_or_else(|| JsNativeError::typ().with_message("the dates cannot be replaced"))?;
    function.call(&JsValue::undefined(), args, context)
}
