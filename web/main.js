// Opens the page.

import { app } from "./app.js";

app();
