/*
{
 "row": "examples/print_env.js",
 "env": {
  "A": "x",
  "N": {
   "deep": [
    1
   ]
  }
 },
 "lines": [
  "{\"A\":\"x\",\"N\":{\"deep\":[1]}}"
 ]
}
*/
console.log(JSON.stringify(env));
