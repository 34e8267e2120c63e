/*
{
 "row": "apisec/apicalls.js",
 "env": {
  "AWS_REGION": "eu-west-1",
  "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
  "AWS_SECRET_ACCESS_KEY": "0123456789",
  "S3_BUCKET": "b",
  "APICALLS_KFL": "http",
  "APICALLS_S3_BUCKET": "b"
 },
 "items": [
  {
   "repeat": 2
  }
 ],
 "seconds": 40,
 "lines": [
  "Caught an error! ReferenceError: ",
  "kept true"
 ],
 "never": [
  "[n-0:ERROR]"
 ],
 "objects": []
}
*/
var calls = [];
function onItemCaptured(data) {
  if (env.APICALLS_KFL && kfl.validate(env.APICALLS_KFL) && kfl.match(env.APICALLS_KFL, data)) calls.push(data);
}
jobs.schedule("apicallsjob", "0 0 * * * *", function () {
  if (calls.length === 0) return;
  var path = file.temp("apicalls", ".", "json");
  file.write(path, JSON.stringify(calls));
  try {
    if (env.AWS_ACCESS_KEY_ID) vendor.s3.put(env.APICALLS_S3_BUCKET, merged, env.AWS_REGION, env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY);
    else vendor.s3.put(env.APICALLS_S3_BUCKET, path, env.AWS_REGION);
    file.delete(path);
  } catch (error) {
    console.log(Date().toLocaleString() + "|" + "Caught an error! " + error);
  }
  console.log("kept", file.exists(path));
});
