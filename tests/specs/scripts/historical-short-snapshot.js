/*
{
 "row": "scripts/pcap_snapshot_short.js",
 "env": {
  "AWS_REGION": "eu-west-1",
  "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
  "AWS_SECRET_ACCESS_KEY": "0123456789",
  "S3_BUCKET": "b"
 },
 "items": [
  {
   "status": 500
  }
 ],
 "members": [".pcap", "name_resolution_history.json"],
 "lines": [
  "https://b.s3.eu-west-1.amazonaws.com/n_10.9.8.7_17/kubeshark_"
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
  console.log(wrapper.pcapSnapshot(env.AWS_REGION, env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY, env.S3_BUCKET));
}
