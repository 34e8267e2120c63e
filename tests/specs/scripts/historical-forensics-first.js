/*
{
 "row": "first dfir/forensics.js",
 "env": {
  "AWS_REGION": "eu-west-1",
  "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
  "AWS_SECRET_ACCESS_KEY": "0123456789",
  "S3_BUCKET": "b"
 },
 "items": [
  {
   "status": 500
  },
  {
   "protocol": "dns"
  },
  {}
 ],
 "seconds": 40,
 "lines": [
  "query 0 valid",
  "query 1 valid",
  "query 2 invalid",
  "merged 1706922000.pcap of 2"
 ],
 "never": [
  "[n-0:ERROR] Error"
 ],
 "objects": [
  [
   "n_10.9.8.7_17/1706",
   ".pcap"
  ]
 ]
}
*/
var queries = ["http and response.status == 500", "dns", "http =="], since = Date.now() - 1000, seen = [];
queries = queries.filter(function (query, index) {
  var bounded = "(" + query + ") and (timestamp > " + since + ")";
  var valid = kfl.validate(bounded, true);
  console.log("query", index, valid ? "valid" : "invalid");
  return valid;
});
file.mkdir("dfir");
function onItemCaptured(data) {
  for (var i = 0; i < queries.length; i++) {
    if (seen.indexOf(data.stream) === -1 && kfl.match("(" + queries[i] + ") and (timestamp > " + since + ")", data)) {
      seen.push(data.stream);
      file.copy(pcap.path(data.stream), "dfir/" + data.stream);
    }
  }
}
jobs.schedule("forensics", "0 */5 * * * *", function () {
  if (seen.length === 0) return;
  var merged = pcap.snapshot("dfir");
  console.log("merged", merged, "of", seen.length);
  vendor.s3.put(env.S3_BUCKET, merged, env.AWS_REGION, env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY);
  file.delete(merged);
  seen = [];
});
