// What tests of scripts find beside the language: it, expect. Appended to the test's own text, so that
// lines of the test keep their numbers; both are functions that are hoisted.

function it(name, check) {
  it.count = (it.count || 0) + 1;
  var number = it.count;

  function say(members) {
    console.log("@MARK@" + JSON.stringify(Object.assign({ number: number, test: String(name) }, members)));
  }
  function passed() {
    say({ passed: true });
  }
  function failed(error) {
    var is = error instanceof Error;
    say({ passed: false, message: is ? error.message : String(error), stack: is ? String(error.stack) : "" });
  }

  try {
    if (typeof check !== "function") throw new Error("it(name, function) needs a function");
    var made = check();
    if (made !== null && typeof made === "object" && typeof made.then === "function") {
      // What is said later takes the place of this.
      say({ passed: false, message: "what it returned was not settled when the file ended" });
      made.then(passed, failed);
    } else {
      passed();
    }
  } catch (error) {
    failed(error);
  }
}

function expect(value) {
  function shown(value) {
    if (value instanceof RegExp || value instanceof Error || typeof value === "function") {
      return String(value);
    }
    if (Array.isArray(value)) return "[" + value.map(shown).join(", ") + "]";
    var json = JSON.stringify(value);
    var text = json === undefined ? String(value) : json;
    return text.length > 500 ? text.slice(0, 500) + "…" : text;
  }

  function same(a, b) {
    if (Object.is(a, b)) return true;
    if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
    if (Array.isArray(a) !== Array.isArray(b)) return false;
    var names = Object.keys(a);
    if (names.length !== Object.keys(b).length) return false;
    return names.every(function (name) {
      return Object.prototype.hasOwnProperty.call(b, name) && same(a[name], b[name]);
    });
  }

  // A text holds another, or a pattern is found in it.
  function holds(text, wanted) {
    return wanted instanceof RegExp ? wanted.test(text) : text.includes(String(wanted));
  }

  function list(value) {
    if (!Array.isArray(value)) throw new Error("expected a list, it is " + shown(value));
    return value;
  }

  function checks(wanted) {
    function check(is, what) {
      if (Boolean(is) !== wanted) {
        throw new Error("expected " + shown(value) + (wanted ? " " : " not ") + what);
      }
    }
    return {
      // The very same value.
      toBe: function (other) {
        check(Object.is(value, other), "to be " + shown(other));
      },
      // The same content: lists and objects are compared member by member.
      toEqual: function (other) {
        check(same(value, other), "to equal " + shown(other));
      },
      // A text that holds a text, or a list with an element that equals.
      toContain: function (part) {
        var found = typeof value === "string"
          ? value.includes(String(part))
          : list(value).some(function (one) { return same(one, part); });
        check(found, "to contain " + shown(part));
      },
      // A list of lines, one of which holds the text or matches the pattern.
      toHaveLine: function (line) {
        check(list(value).some(function (one) { return holds(String(one), line); }), "to have a line with " + shown(line));
      },
      toMatch: function (pattern) {
        check(holds(String(value), pattern), "to match " + shown(pattern));
      },
      toHaveLength: function (length) {
        check(value.length === length, "to have the length " + length + ", it is " + value.length);
      },
      toHaveProperty: function (name) {
        check(value !== null && value !== undefined && name in Object(value), "to have " + name);
      },
      toBeGreaterThan: function (other) {
        check(value > other, "to be greater than " + shown(other));
      },
      toBeLessThan: function (other) {
        check(value < other, "to be less than " + shown(other));
      },
      toBeTruthy: function () {
        check(value, "to be true");
      },
      toThrow: function (message) {
        var thrown = null;
        try {
          value();
        } catch (error) {
          thrown = error;
        }
        var fits = thrown !== null && (message === undefined || holds(String(thrown), message));
        check(fits, "to throw " + (message === undefined ? "" : shown(message)));
      },
    };
  }

  var checked = checks(true);
  checked.not = checks(false);
  return checked;
}
