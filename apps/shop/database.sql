-- Run by mariadbd at every start (--init-file), before it answers.
CREATE DATABASE IF NOT EXISTS shop;
GRANT ALL ON shop.* TO shop@'%' IDENTIFIED BY 'shop';
