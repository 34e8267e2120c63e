/*
{
 "row": "examples/error_handling.js",
 "items": [
  {
   "repeat": 2
  }
 ],
 "lines": [
  "Caught an error! Error: 1:",
  "Caught an error! Error: 1:"
 ],
 "never": [
  "ERROR"
 ]
}
*/
function onItemCaptured(data) {
  try {
    kfl.match("http ?? 1", data);
  } catch (error) {
    console.log("Caught an error!", error);
  }
}
