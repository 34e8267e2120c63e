/*
{
 "row": "drafts/recording.js",
 "env": {
  "S3_BUCKET": "b",
  "GCS_BUCKET": "bucket",
  "GCS_SA_KEY_JSON": "{\"private_key\":\"x\",\"private_key_id\":\"x\",\"client_email\":\"e\",\"disable_oauth\":true,\"gcs_base_url\":\"SERVICE\"}"
 },
 "items": [
  {
   "repeat": 4
  }
 ],
 "seconds": 40,
 "lines": [
  "s3 0",
  "Uploaded n_10.9.8.7_17/example_kubeshark_"
 ],
 "requests": [
  [
   "PUT /bucket/"
  ]
 ],
 "never": [
  "ERROR"
 ]
}
*/
var name = "example", active = false, dir = "recordings/" + name;
file.mkdir(dir + "/pcaps");
jobs.schedule("example", "* * * * * *", function () {
  active = true;
  setTimeout(function () { active = false; }, 4 * 3600 * 1000);
  setTimeout(function () { file.delete(dir); }, 48 * 3600 * 1000);
}, 1);
function onItemCaptured(data) {
  if (!active || !kfl.match("", data)) return;
  file.copy(pcap.path(data.stream), dir + "/pcaps/" + data.stream);
  file.write(dir + "/" + data.entryFile, JSON.stringify(data));
}
jobs.schedule("jobS3", "0 0 * * * *", function () {
  console.log("s3", active & env.S3_BUCKET);
  var tar = file.tar(dir), to = name + "_" + tar;
  file.move(tar, to);
  vendor.gcs.put(env.GCS_BUCKET, to, JSON.parse(env.GCS_SA_KEY_JSON));
  file.delete(to);
});
