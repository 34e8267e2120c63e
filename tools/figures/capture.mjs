// Captures made for figures: DNS exchanges, as a savefile that grows.

// A savefile of DNS exchanges: a question and its answer each, 10 a millisecond.
export class Capture {
  constructor(stream) {
    this.stream = stream;
    this.made = 0;
    const head = Buffer.alloc(24);
    head.writeUInt32LE(0xa1b2c3d4, 0);
    head.writeUInt16LE(2, 4);
    head.writeUInt16LE(4, 6);
    head.writeUInt32LE(262144, 16);
    head.writeUInt32LE(1, 20);
    stream.write(head);
    const name = Buffer.from("\x08name0000\x04shop\x04test\0");
    const dns = (flags, more) => Buffer.concat([Buffer.from([0, 0, flags, flags === 1 ? 0 : 0x80, 0, 1, 0, more.length ? 1 : 0, 0, 0, 0, 0]), name, Buffer.from([0, 1, 0, 1]), more]);
    this.question = this.packet([10, 0, 0, 1], [10, 0, 0, 2], 40000, 53, dns(1, Buffer.alloc(0)));
    this.answer = this.packet([10, 0, 0, 2], [10, 0, 0, 1], 53, 40000, dns(0x81, Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 9, 8, 7])));
  }

  packet(src, dst, from, to, payload) {
    const udp = Buffer.alloc(8);
    udp.writeUInt16BE(from, 0);
    udp.writeUInt16BE(to, 2);
    udp.writeUInt16BE(8 + payload.length, 4);
    const ip = Buffer.from([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, ...src, ...dst]);
    ip.writeUInt16BE(28 + payload.length, 2);
    const frame = Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]), ip, udp, payload]);
    const head = Buffer.alloc(16);
    head.writeUInt32LE(frame.length, 8);
    head.writeUInt32LE(frame.length, 12);
    return Buffer.concat([head, frame]);
  }

  // Bytes of `count` exchanges more, the last of them at `at` (Unix milliseconds) when it is given.
  next(count, at) {
    const one = this.question.length + this.answer.length;
    const out = Buffer.alloc(one * count);
    for (let index = 0; index < count; index += 1) {
      const number = this.made;
      this.made += 1;
      const micros = at === undefined ? number * 100 : (at % 1000) * 1000;
      const second = at === undefined ? 1_700_000_000 + Math.floor(micros / 1e6) : Math.floor(at / 1000);
      let place = index * one;
      for (const packet of [this.question, this.answer]) {
        packet.copy(out, place);
        out.writeUInt32LE(second, place);
        out.writeUInt32LE(micros % 1e6, place + 4);
        // One of 64 conversations, an id of its own, and one of 10,000 names.
        const payload = place + 16 + 14 + 20 + 8;
        const port = 40000 + (number % 64);
        out.writeUInt16BE(port, packet === this.question ? payload - 8 : payload - 6);
        out.writeUInt16BE(number % 65536, payload);
        out.write(String(number % 10000).padStart(4, "0"), payload + 12 + 5, "latin1");
        place += packet.length;
      }
    }
    return out;
  }
}
