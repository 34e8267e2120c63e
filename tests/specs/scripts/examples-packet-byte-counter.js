/*
{
 "row": "examples/packet_byte_counter.js",
 "packets": 4,
 "items": [
  {}
 ],
 "lines": [
  "Packets: 4",
  "Bytes: 400"
 ]
}
*/
var packets = 0, bytes = 0;
function onPacketCaptured(info) { packets++; bytes += info.length; }
function onItemCaptured(data) { console.log("Packets: " + packets); console.log("Bytes: " + bytes); }
