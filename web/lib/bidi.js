// Characters that turn text around (UAX #9 section 2), as escapes that can be seen. Pure.

const CONTROLS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

// The text with such characters written as \u202e: in traffic they make fdp.exe look like exe.pdf.
export const visible = (text) => text.replace(CONTROLS, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
