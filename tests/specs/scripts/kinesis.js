/*
{
 "row": "kinesis/kinesis.js",
 "env": {
  "AWS_REGION": "eu-west-1",
  "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
  "AWS_SECRET_ACCESS_KEY": "0123456789",
  "S3_BUCKET": "b",
  "KINESIS_STREAM_NAME": "s",
  "KINESIS_MIN_BATCH_SIZE": "3"
 },
 "items": [
  {
   "repeat": 4
  }
 ],
 "seconds": 3,
 "lines": [
  "No data to send to Kinesis: ",
  "Kinesis Results: {\"ShardId\""
 ],
 "requests": [
  [
   "POST /",
   "\"StreamName\":\"s\""
  ]
 ],
 "never": [
  "ERROR"
 ]
}
*/
var batch = [];
function onItemCaptured(data) { if (data.Protocol.Name == "http") batch.push(data); }
jobs.schedule("kinesis-export", "* * * * * *", function () {
  if (batch.length < env.KINESIS_MIN_BATCH_SIZE) { console.log("No data to send to Kinesis: " + batch.length); return; }
  var har = wrapper.buildHAR(batch);
  batch = [];
  var results = vendor.kinesis.put(env.KINESIS_STREAM_NAME, har, env.AWS_REGION, env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY);
  console.log("Kinesis Results: " + results);
});
