/*
{
 "row": "examples/s3_pcap_snapshot_selective.js",
 "env": {
  "AWS_REGION": "eu-west-1",
  "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
  "AWS_SECRET_ACCESS_KEY": "0123456789",
  "S3_BUCKET": "b"
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
  "000000000001.pcap,000000000002.pcap",
  "Uploaded to"
 ],
 "never": [
  "ERROR"
 ],
 "objects": [
  [
   "n_10.9.8.7_17/kubeshark_",
   ".tar.gz"
  ]
 ]
}
*/
var pcaps = [];
function onItemCaptured(data) {
  if (data.protocol.name !== "http") return;
  if (data.response.status === 500) pcaps.push(data.stream);
}
jobs.schedule("take-pcap-snapshot", "0 */1 * * * *", function () {
  console.log(pcaps);
  var snapshot = pcap.snapshot(pcaps);
  var dir = file.mkdirTemp("snapshot");
  file.move(snapshot, dir);
  file.write(dir + "/name_resolution_history.json", JSON.stringify(pcap.nameResolutionHistory()));
  var tarFile = file.tar(dir);
  var url = vendor.s3.put(env.AWS_REGION, env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY, env.S3_BUCKET, tarFile);
  file.delete(dir);
  file.delete(tarFile);
  console.log("Uploaded to", url);
  pcaps = [];
});
