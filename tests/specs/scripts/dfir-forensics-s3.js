/*
{
 "row": "dfir/forensics_s3.js",
 "env": {
  "AWS_REGION": "eu-west-1",
  "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
  "AWS_SECRET_ACCESS_KEY": "0123456789",
  "S3_BUCKET": "b",
  "RECORDING_KFL": "http"
 },
 "items": [
  {},
  {
   "protocol": "dns"
  }
 ],
 "seconds": 40,
 "lines": [
  "Scheduled the job: \"dfir_s3\" for cron: \"0 *\/5 * * * *\" (limit: infinite)",
  "sent 1"
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
var taken = [], folder = "dfir", aside = folder + "_tmp";
jobs.schedule("dfir_s3", "0 */5 * * * *", send);
renew();
function renew() { file.delete(folder); file.mkdir(folder); }
function onItemCaptured(data) {
  if (!kfl.validate(env.RECORDING_KFL) || !kfl.match(env.RECORDING_KFL, data)) return;
  if (taken.indexOf(data.stream) !== -1) return;
  taken.push(data.stream);
  file.copy(pcap.path(data.stream), folder + "/" + data.stream);
}
function put(path) { return vendor.s3.put(env.S3_BUCKET, path, env.AWS_REGION, env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY); }
function send() {
  if (taken.length === 0) return;
  file.delete(aside);
  file.move(folder, aside);
  renew();
  var merged = pcap.snapshot([], aside);
  put(merged);
  put("name_resolution_history.json");
  file.delete(merged);
  file.delete(aside);
  console.log("sent", taken.length);
  taken = [];
}
