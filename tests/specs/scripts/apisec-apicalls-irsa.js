/*
{
 "row": "apisec/apicalls.js",
 "env": {
  "AWS_REGION": "eu-west-1",
  "APICALLS_KFL": "http",
  "APICALLS_S3_BUCKET": "b"
 },
 "items": [
  {
   "repeat": 2
  },
  {
   "protocol": "dns"
  }
 ],
 "seconds": 40,
 "never": [
  "ERROR"
 ],
 "objects": [
  [
   "n_10.9.8.7_17/apicalls",
   ".json"
  ]
 ]
}
*/
var calls = [];
function onItemCaptured(data) {
  if (env.APICALLS_KFL && kfl.match(env.APICALLS_KFL, data)) calls.push(data);
}
jobs.schedule("apicallsjob", "0 0 * * * *", function () {
  if (calls.length === 0) return;
  var path = file.temp("apicalls", ".", "json");
  file.write(path, JSON.stringify(calls));
  vendor.s3.put(env.APICALLS_S3_BUCKET, path, env.AWS_REGION);
  file.delete(path);
  calls = [];
});
