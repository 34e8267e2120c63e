/*
{
 "row": "dfir/forensics_kube.js",
 "items": [
  {
   "repeat": 5
  }
 ],
 "seconds": 130,
 "lines": [
  "active",
  "000000000003_pcap-0_entry.json",
  "files true",
  "inactive",
  "files false"
 ],
 "never": [
  "ERROR"
 ]
}
*/
var active = false, folder = "recordings/example3";
file.delete(folder);
file.mkdir(folder);
jobs.schedule("example3", "* * * * * *", function () {
  active = true;
  console.log("active", Date().toLocaleString());
  setTimeout(function () { active = false; console.log("files", file.exists(folder + "/000000000003.pcap")); console.log("inactive"); }, 60 * 1000);
  setTimeout(function () { file.delete(folder); console.log("files", file.exists(folder)); }, 120 * 1000);
}, 1);
function onItemCaptured(data) {
  if (!active || !kfl.match("", data)) return;
  file.copy(pcap.path(data.pcapFile), folder + "/" + data.pcapFile);
  file.write(folder + "/" + data.entryFile, JSON.stringify(data));
  console.log(data.entryFile);
}
