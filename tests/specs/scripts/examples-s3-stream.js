/*
{
 "row": "examples/s3_pcap_stream.js",
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
   "status": 500
  }
 ],
 "never": [
  "ERROR"
 ],
 "objects": [
  [
   "n_10.9.8.7_17/000000000000",
   ".pcap"
  ],
  [
   "n_10.9.8.7_17/000000000001",
   ".pcap"
  ],
  [
   "n_10.9.8.7_17/name_resolution",
   ".json"
  ]
 ]
}
*/
function put(path) {
  return vendor.s3.put(env.AWS_REGION, env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY, env.S3_BUCKET, path);
}
function onItemCaptured(data) {
  if (data.response.status !== 500) return;
  put(pcap.path(data.stream));
  var history = "name_resolution_history.json";
  file.write(history, JSON.stringify(pcap.nameResolutionHistory()));
  put(history);
  file.delete(history);
}
