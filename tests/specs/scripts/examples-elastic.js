/*
{
 "row": "examples/elastic.js",
 "env": {
  "ELASTIC_URL": "SERVICE",
  "ELASTIC_INDEX": "codes",
  "ELASTIC_API_KEY": "k"
 },
 "items": [
  {
   "repeat": 3
  },
  {
   "status": 500,
   "repeat": 2
  },
  {
   "protocol": "dns"
  }
 ],
 "seconds": 90,
 "lines": [
  "Status Codes: {\"200\":3,\"500\":2}"
 ],
 "requests": [
  [
   "PUT /codes/_doc/",
   "\"500\":2"
  ],
  [
   "PUT /codes/_doc/",
   "{}"
  ]
 ]
}
*/
var codes = {};
function onItemCaptured(data) {
  if (data.protocol.name !== "http") return;
  var status = data.response.status;
  codes[status] = codes.hasOwnProperty(status) ? codes[status] + 1 : 1;
}
function push() {
  console.log("Status Codes:", JSON.stringify(codes));
  vendor.elastic(env.ELASTIC_URL, env.ELASTIC_INDEX, codes, "", "", "", env.ELASTIC_API_KEY);
  codes = {};
}
jobs.schedule("push-status-codes-to-elastic", "0 */1 * * * *", push);
