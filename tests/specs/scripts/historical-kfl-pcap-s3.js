/*
{
 "row": "docs samples: wrapper.kflPcapS3",
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
  {},
  {
   "status": 500
  }
 ],
 "seconds": 150,
 "members": [".pcap", "content.json", "name_resolution_history.json"],
 "lines": [
  "Scheduled the job: \"kfl-pcap-s3\"",
  "kfl_0_kubeshark_"
 ],
 "never": [
  "ERROR"
 ],
 "objects": [
  [
   "n_10.9.8.7_17/kflPcapS3_log_",
   ".json"
  ],
  [
   "n_10.9.8.7_17/kfl_0_kubeshark_",
   ".tar.gz"
  ],
  [
   "n_10.9.8.7_17/kfl_1_kubeshark_",
   ".tar.gz"
  ]
 ]
}
*/
function onItemCaptured(data) {
  wrapper.kflPcapS3(data, {kflArr: ["http and response.status == 500", "http"], maxMinutes: 1, verbose: true});
}
