/*
{
 "row": "dfir/kube2.js",
 "items": [
  {
   "repeat": 4
  }
 ],
 "seconds": 5,
 "lines": [
  "000000000002_pcap-0_entry.json",
  "000000000003_pcap-0_entry.json",
  "still true"
 ],
 "never": [
  "ERROR"
 ]
}
*/
var on = false, where = "recordings/test123";
file.delete("recordings");
file.mkdir(where);
jobs.schedule("test123", "* * * * * *", function () {
  on = true;
  setTimeout(function () { console.log("still", on && file.exists(where + "/000000000003.pcap")); }, 5000);
}, 1);
function onItemCaptured(data) {
  if (!on || !kfl.match("", data)) return;
  file.copy(pcap.path(data.pcapFile), where + "/" + data.pcapFile);
  file.write(where + "/" + data.entryFile, JSON.stringify(data));
  console.log(data.entryFile);
}
