// The helpers that are made of other helpers. `host` holds those as they were before the script ran,
// so a script that uses their names for its own variables does not change what happens here.
(function (host) {
  'use strict';
  const { console, file, jobs, kfl, pcap, vendor, env } = host;
  const HISTORY = 'name_resolution_history.json';

  function isMap(value) {
    return value !== null && typeof value === 'object' && !Array.isArray(value);
  }

  // A new object with the keys of both: numbers add up, objects are merged, else the second counts.
  function joinMaps(a, b) {
    const joined = {};
    for (const map of [a, b]) {
      if (!isMap(map)) continue;
      for (const key of Object.keys(map)) {
        const before = Object.prototype.hasOwnProperty.call(joined, key) ? joined[key] : undefined;
        const value = map[key];
        if (typeof before === 'number' && typeof value === 'number') joined[key] = before + value;
        else if (isMap(value)) joined[key] = joinMaps(before, value);
        else joined[key] = value;
      }
    }
    return joined;
  }

  // {name: value} and {name: [values]} as HAR wants them.
  function named(map) {
    const list = [];
    for (const name of Object.keys(map || {})) {
      const values = Array.isArray(map[name]) ? map[name] : [map[name]];
      for (const value of values) list.push({ name: name, value: String(value) });
    }
    return list;
  }

  function or(value, otherwise) {
    return value === undefined || value === null ? otherwise : value;
  }

  // Scripts may read microseconds; HAR has milliseconds.
  function millis(item) {
    return item.elapsedTime === undefined ? undefined : item.elapsedTime / host.perMilli;
  }

  function harEntry(item) {
    const request = item.request, response = item.response, dst = item.dst;
    if (!request || !request.method || !dst || !response || !response.status) return null;
    const place = dst.name || (dst.ip + ':' + dst.port);
    const content = response.content || {};
    const entry = {
      startedDateTime: item.startTime,
      time: millis(item),
      request: {
        method: request.method,
        url: 'http://' + place + or(request.url, request.path || '/'),
        httpVersion: or(request.httpVersion, 'HTTP/1.1'),
        cookies: named(request.cookies),
        headers: named(request.headers),
        queryString: named(request.queryString),
        headersSize: or(request.headersSize, -1),
        bodySize: or(request.bodySize, -1)
      },
      response: {
        status: response.status,
        statusText: or(response.statusText, ''),
        httpVersion: or(response.httpVersion, 'HTTP/1.1'),
        cookies: named(response.cookies),
        headers: named(response.headers),
        content: {
          size: or(content.size, 0),
          mimeType: or(content.mimeType, ''),
          text: or(content.text, '')
        },
        redirectURL: or(response.redirectURL, ''),
        headersSize: or(response.headersSize, -1),
        bodySize: or(response.bodySize, -1)
      },
      cache: {},
      timings: { send: 0, wait: millis(item), receive: 0 }
    };
    if (content.encoding && content.text) entry.response.content.encoding = content.encoding;
    if (request.postData) {
      entry.request.postData = {
        mimeType: or(request.postData.mimeType, ''),
        params: or(request.postData.params, []),
        text: or(request.postData.text, '')
      };
    }
    return entry;
  }

  function buildHAR(items) {
    const entries = [];
    for (const item of items || []) {
      const entry = item ? harEntry(item) : null;
      if (entry) entries.push(entry);
    }
    const creator = { name: 'tapedeck', version: host.version };
    return JSON.stringify({ log: { version: '1.2', creator: creator, entries: entries } }, null, 2);
  }

  // A savefile and the name history in one archive, which is uploaded; answers its URL.
  function pcapSnapshot(region, keyId, secret, bucket) {
    const dir = file.mkdirTemp('snapshot');
    let tar = null;
    try {
      file.move(pcap.snapshot(), dir);
      file.write(dir + '/' + HISTORY, JSON.stringify(pcap.nameResolutionHistory()));
      tar = file.tar(dir);
      return vendor.s3.put(region, keyId, secret, bucket, tar);
    } finally {
      file.delete(dir);
      if (tar) file.delete(tar);
    }
  }

  const FLUSH_EVERY = '*/30 * * * * *';
  const LOG_EVERY_MS = 60 * 60 * 1000;
  let keeper = null;

  function settings(params) {
    const given = function (name, otherwise) {
      return params[name] === undefined || params[name] === null ? otherwise : params[name];
    };
    return {
      queries: params.kflArr,
      region: given('awsRegion', env.AWS_REGION),
      keyId: given('awsAccessKeyId', env.AWS_ACCESS_KEY_ID),
      secret: given('awsSecretAccessKey', env.AWS_SECRET_ACCESS_KEY),
      bucket: given('s3Bucket', env.S3_BUCKET),
      slackWebhook: given('slackWebhook', ''),
      slackAuthToken: given('slackAuthToken', ''),
      slackChannelId: given('slackChannelId', ''),
      verbose: !!given('verbose', false),
      maxMs: given('maxMinutes', 60) * 60 * 1000,
      maxStreams: given('maxL4Streams', 100000),
      clear: !!given('clear', false)
    };
  }

  function missing(wanted) {
    if (!Array.isArray(wanted.queries) || wanted.queries.length === 0) return 'kflArr';
    if (!wanted.region) return 'awsRegion';
    if (!wanted.keyId) return 'awsAccessKeyId';
    if (!wanted.secret) return 'awsSecretAccessKey';
    if (!wanted.bucket) return 's3Bucket';
    return null;
  }

  function start(wanted) {
    keeper = { wanted: wanted, shelves: [], uploads: [], log: '', changed: false, logged: 0 };
    wanted.queries.forEach(function (query, index) {
      const valid = kfl.validate(query);
      keeper.shelves.push({ query: query, index: index, valid: valid, streams: {}, count: 0, dir: '', since: 0 });
    });
    if (wanted.clear) vendor.s3.clear(wanted.region, wanted.keyId, wanted.secret, wanted.bucket);
    jobs.schedule('kfl-pcap-s3', FLUSH_EVERY, flushAll);
  }

  function take(shelf, stream) {
    if (Object.prototype.hasOwnProperty.call(shelf.streams, stream)) return;
    if (!shelf.dir) {
      shelf.dir = file.mkdirTemp('kfl_' + shelf.index + '_');
      shelf.since = Date.now();
    }
    file.copy(pcap.path(stream), shelf.dir + '/' + stream);
    shelf.streams[stream] = true;
    shelf.count++;
    if (keeper.wanted.verbose) console.log('Stream ' + stream + ' matches the query: ' + shelf.query);
  }

  function flushAll() {
    for (const shelf of keeper.shelves) {
      const full = shelf.count > keeper.wanted.maxStreams;
      const old = shelf.count > 0 && Date.now() - shelf.since > keeper.wanted.maxMs;
      if (full || old) flush(shelf);
    }
    writeLog();
  }

  function put(path) {
    const to = keeper.wanted;
    return vendor.s3.put(to.bucket, path, to.region, to.keyId, to.secret);
  }

  function flush(shelf) {
    const dir = file.mkdirTemp('kfl_archive_');
    const time = new Date().toUTCString();
    let tar = '';
    try {
      const name = pcap.snapshot([], shelf.dir);
      file.move(name, dir);
      file.write(dir + '/' + HISTORY, JSON.stringify(pcap.nameResolutionHistory()));
      file.write(dir + '/content.json', JSON.stringify({
        pcap_file_name: name,
        time: time,
        kfl_index: shelf.index,
        kfl_query: shelf.query,
        l4_streams: Object.keys(shelf.streams)
      }, null, 2));
      const packed = file.tar(dir);
      tar = packed;
      tar = 'kfl_' + shelf.index + '_' + packed;
      file.move(packed, tar);
      const url = put(tar);
      keeper.uploads.push({ file: tar, s3_url: url, time: time, kfl_index: shelf.index, kfl_query: shelf.query });
      keeper.changed = true;
      tell(shelf, url);
      file.delete(shelf.dir);
      shelf.dir = '';
      shelf.streams = {};
      shelf.count = 0;
    } finally {
      // What was not uploaded stays in its folder and is tried again by the next run.
      file.delete(dir);
      if (tar) file.delete(tar);
    }
  }

  function tell(shelf, url) {
    const to = keeper.wanted;
    const pretext = 'PCAP uploaded', text = 'Query: ' + shelf.query + '\nURL: ' + url, color = '#00ff00';
    if (to.verbose) console.log('Uploaded ' + shelf.count + ' streams of the query: ' + shelf.query);
    // A note that cannot be posted must not have the archive uploaded again.
    try {
      if (to.slackWebhook) vendor.slack(to.slackWebhook, pretext, text, color);
      if (to.slackAuthToken && to.slackChannelId) {
        vendor.slackBot(to.slackAuthToken, to.slackChannelId, pretext, text, color);
      }
    } catch (error) {
      console.error(error);
    }
  }

  function writeLog() {
    const due = keeper.uploads.length > 0 && Date.now() - keeper.logged > LOG_EVERY_MS;
    if (!keeper.changed && !due) return;
    if (!keeper.log) keeper.log = file.temp('kflPcapS3_log_', '', 'json');
    file.write(keeper.log, JSON.stringify(keeper.uploads, null, 2));
    put(keeper.log);
    keeper.changed = false;
    keeper.logged = Date.now();
  }

  let complained = false;

  function kflPcapS3(data, params) {
    if (!isMap(params)) throw new TypeError('wrapper.kflPcapS3 needs an object with its parameters');
    if (params.active === false) return;
    if (!keeper) {
      const wanted = settings(params);
      const absent = missing(wanted);
      if (absent) {
        if (!complained) console.error('wrapper.kflPcapS3 does nothing: ' + absent + ' is not set');
        complained = true;
        return;
      }
      start(wanted);
    }
    if (!data || !data.stream) return;
    for (const shelf of keeper.shelves) {
      if (shelf.valid && kfl.match(shelf.query, data)) take(shelf, data.stream);
    }
  }

  return { joinMaps: joinMaps, buildHAR: buildHAR, pcapSnapshot: pcapSnapshot, kflPcapS3: kflPcapS3 };
})
