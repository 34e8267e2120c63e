/*
{
 "row": "dfir/forensics_gcs.js",
 "env": {
  "GCS_BUCKET": "bucket",
  "GCS_SA_KEY_JSON": "{\"private_key\":\"x\",\"private_key_id\":\"x\",\"client_email\":\"e\",\"disable_oauth\":true,\"gcs_base_url\":\"SERVICE\"}",
  "RECORDING_KFL": "http"
 },
 "items": [
  {
   "repeat": 2
  }
 ],
 "seconds": 40,
 "never": [
  "ERROR"
 ],
 "requests": [
  [
   "PUT /bucket/n"
  ],
  [
   "PUT /bucket/n",
   "{\"1\":{}}"
  ]
 ],
 "lines": [
  "Uploaded n_10.9.8.7_17/1706"
 ]
}
*/
'use strict';
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
jobs.schedule("dfir_fcs", "0 */5 * * * *", record);
function upload(path) { return vendor.gcs.put(env.GCS_BUCKET, path, JSON.parse(env.GCS_SA_KEY_JSON)); }
