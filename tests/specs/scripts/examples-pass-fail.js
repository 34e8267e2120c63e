/*
{
 "row": "examples/pass_fail.js",
 "items": [
  {
   "status": 500
  }
 ],
 "query": "http",
 "returned": {
  "failed": true,
  "passed": false
 }
}
*/
function onItemQueried(data) {
  if (data.protocol.name == "http") {
    if (data.response.status === 500) return test.fail(data);
    return test.pass(data);
  }
}
