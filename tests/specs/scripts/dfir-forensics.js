/*
{
 "row": "dfir/forensics.js",
 "env": {
  "AWS_REGION": "eu-west-1",
  "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
  "AWS_SECRET_ACCESS_KEY": "0123456789",
  "S3_BUCKET": "b",
  "RECORDING_KFL": "http and response.status == 500"
 },
 "items": [
  {},
  {
   "status": 500
  },
  {
   "status": 500
  }
 ],
 "seconds": 40,
 "lines": [
  "Scheduled the job: \"dfir\"",
  "sending 2"
 ],
 "never": [
  "ERROR"
 ],
 "objects": [
  [
   "n_10.9.8.7_17/1706",
   ".pcap"
  ],
  [
   "n_10.9.8.7_17/name_resolution",
   ".json"
  ]
 ]
}
*/

var streams = {}, count = 0;
file.delete("dfir");
file.mkdir("dfir");
function onItemCaptured(data) {
  if (!env.RECORDING_KFL || !kfl.validate(env.RECORDING_KFL, true)) return;
  if (!kfl.match(env.RECORDING_KFL, data) || streams[data.stream]) return;
  streams[data.stream] = true;
  count++;
  file.copy(pcap.path(data.stream), "dfir/" + data.stream);
}
function record() {
  if (count === 0) return;
  console.log(Date().toLocaleString() + "|" + "sending", count);
  streams = {}; count = 0;
  file.delete("dfir_tmp");
  file.move("dfir", "dfir_tmp");
  file.mkdir("dfir");
  var snapshot = pcap.snapshot([], "dfir_tmp");
  file.delete("dfir_tmp");
  upload(snapshot);
  file.delete(snapshot);
  var history = "name_resolution_history.json";
  upload(history);
  file.delete(history);
}
if (env.S3_BUCKET) jobs.schedule("dfir", "0 0 * * * *", record);
function upload(path) {
  return vendor.s3.put(env.S3_BUCKET, path, env.AWS_REGION, env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY);
}
