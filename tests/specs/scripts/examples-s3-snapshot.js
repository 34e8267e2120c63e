/*
{
 "row": "examples/s3_pcap_snapshot.js",
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
  }
 ],
 "members": [".pcap", "name_resolution_history.json"],
 "lines": [
  "Uploaded to https://b.s3.eu-west-1.amazonaws.com/n_10.9.8.7_17/kubeshark_"
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
function onItemCaptured(data) {
  if (data.protocol.name !== "http" || data.response.status !== 500) return;
  var snapshot = pcap.snapshot();
  var dir = file.mkdirTemp("snapshot");
  file.move(snapshot, dir);
  file.write(dir + "/name_resolution_history.json", JSON.stringify(pcap.nameResolutionHistory()));
  var tarFile = file.tar(dir);
  var url = vendor.s3.put(env.AWS_REGION, env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY, env.S3_BUCKET, tarFile);
  file.delete(dir);
  file.delete(tarFile);
  console.log("Uploaded to", url);
}
