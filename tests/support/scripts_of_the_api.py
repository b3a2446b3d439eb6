"""More small scripts, as in small_scripts.py: the redis table, what each command does in a script, conversions."""

SCRIPTS = r"""
return {redis.sha1hex(nil)}
return redis.sha1hex(true)
return redis.sha1hex({})
return redis.sha1hex(1,2)
return redis.sha1hex(1.5)
redis.setresp(2,3)
redis.setresp('x')
redis.setresp(nil)
redis.setresp(2.5) return 1
redis.setresp(true)
redis.setresp({})
redis.setresp(3) redis.setresp(2) return redis.call('hgetall','nokey')
redis.set_repl('x')
redis.set_repl(-1)
redis.set_repl(4)
redis.set_repl(3.9)
redis.set_repl({})
redis.set_repl(nil)
return redis.replicate_commands(1,2)
return redis.breakpoint(1)
return redis.debug('x')
return redis.debug()
return redis.debug({1,2},nil)
return redis.acl_check_cmd('get')
return redis.acl_check_cmd('get','a','b','c')
return redis.acl_check_cmd('GET','a')
return redis.acl_check_cmd(nil)
return redis.acl_check_cmd({})
return redis.acl_check_cmd(true)
return redis.acl_check_cmd('client')
return redis.acl_check_cmd('client','nosuch')
return redis.acl_check_cmd('client','id')
return redis.acl_check_cmd('config|get')
return redis.acl_check_cmd(1)
return redis.register_function()
return type(redis.register_function)
local t={} for k in pairs(string) do t[#t+1]=k end table.sort(t) return t
local t={} for k in pairs(table) do t[#t+1]=k end table.sort(t) return t
local t={} for k in pairs(math) do t[#t+1]=k end table.sort(t) return t
local t={} for k in pairs(cjson) do t[#t+1]=k end table.sort(t) return t
local t={} for k in pairs(cmsgpack) do t[#t+1]=k end table.sort(t) return t
local t={} for k in pairs(struct) do t[#t+1]=k end table.sort(t) return t
local t={} for k in pairs(bit) do t[#t+1]=k end table.sort(t) return t
local t={} for k in pairs(coroutine) do t[#t+1]=k end table.sort(t) return t
return next(redis) ~= nil
math.randomseed(42) return {math.random(100000),math.random(100000),tostring(math.random())}
math.randomseed(0) return {math.random(100000),math.random(100000)}
math.randomseed('7') return {math.random(100000),math.random(100000)}
math.randomseed(1.9) return {math.random(100000),math.random(100000)}
math.randomseed()
math.randomseed({})
math.randomseed('x')
return math.random(1,2147483647)
return math.random(2147483648)
return {math.random(-5,5),math.random(3)}
return math.random(0,0)
return math.random(1.5,2.5)
return redis.call('client','no-evict','on')
return redis.call('client','kill','1')
return redis.call('client','setname','x')
return redis.call('client','getname')
return redis.call('client','reply','on')
return redis.call('client','unpause')
return redis.call('client','tracking','on')
return redis.call('client','nosuch')
return redis.call('client')
return redis.call('config','set','maxmemory','0')
return redis.call('config','resetstat')
return redis.call('debug','sleep',0)
return redis.call('auth','x')
return redis.call('hello',3)
return redis.call('hello')
return redis.call('reset')
return redis.call('quit')
return redis.call('discard')
return redis.call('unwatch')
return redis.call('unsubscribe')
return redis.call('punsubscribe')
return redis.call('psubscribe','x')
return redis.call('ssubscribe','x')
return redis.call('spublish','x','y')
return redis.call('pubsub','channels')
return redis.call('script','exists','x')
return redis.call('script','flush')
return redis.call('script','kill')
return redis.call('script','load','return 1')
return redis.call('function','list')
return redis.call('function','load','x')
return redis.call('function','stats')
return redis.call('fcall','x',0)
return redis.call('fcall_ro','x',0)
return redis.call('eval_ro','return 1',0)
return redis.call('evalsha','x',0)
return redis.call('shutdown','nosave')
return redis.call('save')
return redis.call('bgsave')
return redis.call('bgrewriteaof')
return redis.call('monitor')
return redis.call('role')
return redis.call('replicaof','no','one')
return redis.call('memory','usage','k')>0
return redis.call('object','encoding','k')
return redis.call('object','freq','k')
return redis.call('object','refcount','k')
return redis.call('swapdb',0,1)
return redis.call('move','k',1)
return redis.call('copy','k','k2')
return redis.call('dump','nokey')
return redis.call('restore','kk',0,'x')
return redis.call('failover')
return redis.call('module','list')
return redis.call('sort','nokey')
return redis.call('sort_ro','nokey')
return redis.call('dbsize')
return redis.call('flushdb','async')
return redis.call('blmpop',0,1,'nokey','left')
return redis.call('bzmpop',0,1,'nokey','min')
return redis.call('xread','block',0,'streams','nokey','$')
return redis.call('xreadgroup','group','g','c','block',0,'streams','nokey','>')
redis.call('xgroup','create','gs','g','$','mkstream') return redis.call('xinfo','groups','gs')
return redis.call('xreadgroup','group','g','c','block',0,'streams','gs','>')
return redis.call('xreadgroup','group','g','c','streams','gs','>')
return redis.call('expire','k','x')
return redis.call('SET','k')
return redis.call('SET','k','v','x')
return redis.call('')
return redis.call(' get','k')
return redis.call('get\0','k')
return redis.call('GeT','k')
return redis.call('get',1,2)
return redis.call(5)
return redis.call(nil)
return redis.call(true)
return redis.call({'get','k'})
return redis.pcall({'get','k'})
return redis.pcall(true).err
return redis.pcall('multi').err
return redis.pcall('get').err
return redis.pcall('nosuch').err
return redis.pcall('lpush','k',1).err
return redis.pcall('lpush','k',1)
local e=redis.pcall('lpush','k',1) return {e.err,e.source,e.line,tostring(e.ignore_error_stats_update)}
local ok,e=pcall(redis.call,'lpush','k',1) return {e,type(e)}
return {xpcall(function() return redis.call('lpush','k',1) end,function(e) return e.err..tostring(e.source) end)}
local e=redis.error_reply('x') local t={} for a,b in pairs(e) do t[#t+1]=a..'='..tostring(b) end table.sort(t) return t
return redis.error_reply('a\r\nb')
return redis.status_reply('a\r\nb')
return {err='a\r\nb c'}
return {ok='a\r\nb'}
return {err='-ERR x'}
return {err=''}
return {err=5}
return {err={}}
return {ok=''}
return {err='A x', ok='y'}
error({err='-FOO bar'})
error({err='FOO bar', source='x', line=5})
error({err='FOO bar', ignore_error_stats_update=true})
error(true)
return redis.call('eval')
return redis.error_reply('ERR')
return redis.error_reply('-ERR')
return redis.error_reply('-')
return redis.error_reply('- x')
return redis.error_reply('x ')
return redis.status_reply()
return redis.status_reply('a','b')
return redis.status_reply('')
return redis.status_reply(nil)
return {double='x'}
return {double=1/0}
return {double=-1/0}
return {double=1e100}
return {big_number='12\r\n3'}
return {big_number=5}
return {verbatim_string='x'}
return {verbatim_string={string='a',format='toolong'}}
return {verbatim_string={string='a',format='m'}}
return {verbatim_string={string='a'}}
return {verbatim_string={format='txt'}}
return {map={}}
return {set={}}
return {map={1,2}}
return {set={1,2}}
return {map='x'}
return {set='x'}
return {map={a=false}}
return {set={a=false}}
return {[1]=1,[2]=nil,[3]=3}
return {[0]=0,1}
return {false,nil,true}
return {1.5,-1.5,2^31,2^53,2^63,-2^63,1e100}
return 2^31
return -2^63
return 2^64
return -0.5
return '\0\1'
return {''}
redis.setresp(3) return {1.5}
redis.setresp(3) return {double=1.5}
redis.setresp(3) return nil
redis.setresp(3) redis.call('hset','hh','a','1') return redis.call('hgetall','hh')
redis.setresp(3) return redis.call('hrandfield','hh',1,'withvalues')
redis.setresp(3) return redis.call('sismember','nokey','a')
redis.setresp(3) return redis.call('zadd','zz','incr',1.25,'a')
redis.setresp(3) return redis.call('zscore','nokey','a')
redis.setresp(3) return redis.call('zmscore','zz','a','b')
redis.setresp(3) return redis.call('zpopmin','zz')
redis.setresp(3) return redis.call('config','get','x')
redis.setresp(3) return redis.call('debug','protocol','bignum')
redis.setresp(3) return redis.call('lolwut') ~= nil
redis.setresp(3) return redis.call('xinfo','stream','gs').map.length
redis.setresp(3) return redis.call('geopos','nokey','a')
redis.setresp(3) return redis.call('exec')
redis.setresp(3) return redis.call('pubsub','numsub','x')
redis.setresp(3) return redis.call('smismember','nokey','a')
redis.setresp(3) return redis.call('expire','nokey',1)
redis.setresp(3) return redis.call('set','k','v')
redis.setresp(3) return redis.call('type','k')
redis.setresp(3) return redis.call('ping')
redis.setresp(3) return redis.call('client','getredir')
""".strip().splitlines()
