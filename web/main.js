// Opens the page.

import { trafficPage } from "./views/traffic.js";

trafficPage();
