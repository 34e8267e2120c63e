/*
{
 "row": "tcphttpcompare/tcphttpcompare.js",
 "items": [
  {
   "protocol": "tcp",
   "payload": "GET /orders HTTP/1.1\r\nHost: a\r\n"
  },
  {
   "path": "/orders"
  },
  {
   "protocol": "tcp",
   "payload": "GET /lost HTTP/1.1\r\n"
  }
 ],
 "query": "tcp or http",
 "seconds": 15,
 "lines": [
  "/lost: 1"
 ],
 "never": [
  "/orders: 1",
  "ERROR"
 ]
}
*/
var counts = {}, last;
function add(data, path, by) { var key = data.src.name + " -> " + data.dst.name + " " + path; counts[key] = (counts[key] || 0) + by; }
function onItemQueried(data, filter) {
  last = filter;
  if (kfl.match('tcp and data.payload.startsWith("GET")', data)) add(data, data.data.payload.split("\n")[0].split(" ")[1], 1);
  else if (kfl.match('http and request.method=="GET"', data)) add(data, data.request.path, -1);
}
jobs.schedule("print-report", "*/10 * * * * *", function () {
  for (var key in counts) if (counts[key] === 0) delete counts[key];
  console.log(utils.json2Yaml(JSON.stringify(counts)));
});
