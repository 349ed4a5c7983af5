log.info('todo list loaded')
return render(page)
total = total + line.amount
    raise Forbidden(user)
if not user.active:
log.info('todo list loaded')
log.info('todo list loaded')
log.info('todo list loaded')
    raise Forbidden(user)
log.info('todo list loaded')
log.info('todo list loaded')
close()
if not user.active:
if not user.active:
connect(host, port)
items.sort(key=price)
close()
log.info('todo list loaded')
items.sort(key=price)
total = total + line.amount
connect(host, port)
if not user.active:
if not user.active:
if not user.active:
return render(page)
close()
log.info('todo list loaded')
total = total + line.amount
close()
total = total + line.amount
close()
return render(page)
log.info('todo list loaded')
return render(page)
total = total + line.amount
close()
log.info('todo list loaded')
total = total + line.amount
connect(host, port)
return render(page)
if not user.active:
